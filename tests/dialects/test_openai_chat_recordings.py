"""Laws of the Chat Completions codec, on what real providers and clients said."""

from __future__ import annotations

import json
from typing import Any

import pytest
from attrs import evolve
from chat import STREAM, WHOLE, write
from chat_recordings import (
    NAME,
    events_of,
    failed,
    failing,
    folded,
    frames_of,
    named,
    read,
    read_request,
    readable,
    requests,
    streams,
    told,
    touched,
    wholes,
)
from recordings import ROOT, Recording, completions, is_complete, load

from llmgw import jsons, sse
from llmgw.events import BlockDelta, Error, Event, Invariants, Reply, ResponseEnd, fold, unfold
from llmgw.model import Base64, Image, Loss, Message, Prompt, Request, Text, texts
from llmgw.stages import Head
from llmgw_dialects.openai_chat import DIALECT
from llmgw_testing import every_cut


def test_all_recordings_are_looked_at() -> None:
    """Where all recordings are to be had the laws are tried on them; else this is skipped, and the committed ones must do."""
    if not is_complete(NAME):
        pytest.skip(f"no recordings at {ROOT / NAME}: the laws were tried only on the {len(load(NAME))} in tests/recorded")
    assert len(load(NAME)) > 1000


# ---- requests -----------------------------------------------------------------------------------


def test_a_request_that_nobody_touched_is_copied() -> None:
    """Reading a request and writing it, even after its prompt was looked at, gives the very same bytes object."""
    for name, body in readable():
        request = read_request(body)
        request.prompt  # noqa: B018  # reading is the point
        assert request.raw is not None
        assert DIALECT.write_request(request) is request.raw.data, name


def test_another_model_changes_the_model_and_no_other_byte() -> None:
    """A request for another model differs from the original in the model's name alone."""
    for name, body in requests():
        request = read_request(body)
        assert request.raw is not None
        written = DIALECT.write_request(request.with_model("other/model"))
        old, new = jsons.dumps(request.model), b'"other/model"'
        at = written.find(new)
        assert request.raw.data == written[:at] + old + written[at + len(new) :], name


def all_touched(prompt: Prompt) -> Prompt:
    """A prompt of which no node is clean, and which says the same."""
    items = [
        evolve(item, **({"parts": tuple(map(evolve, item.parts))} if hasattr(item, "parts") else {})) for item in prompt.items
    ]
    return evolve(prompt, items=tuple(items), tools=tuple(map(evolve, prompt.tools)))


def test_a_request_all_of_whose_nodes_were_touched_says_the_same() -> None:
    """If every item, part and tool is written anew from its fields, the JSON is equal to the original's."""
    for name, body in readable():
        request = read_request(body)
        prompt = all_touched(request.prompt)
        written = DIALECT.write_request(evolve(request, prompt=prompt))
        assert json.loads(named(body)) == json.loads(written), name


def test_an_edited_text_changes_alone() -> None:
    """If one text is edited, every byte outside of it stays."""
    mark = "⟦edited⟧"
    for name, body in readable():
        request = read_request(body)
        found = [
            (n, k) for n, item in enumerate(request.prompt.items) if isinstance(item, Message)
            for k, part in enumerate(item.parts) if isinstance(part, Text)
        ]  # fmt: skip
        if not found:
            continue
        n, k = found[len(found) // 2]
        item = request.prompt.items[n]
        assert isinstance(item, Message) and request.raw is not None
        old = item.parts[k]
        assert isinstance(old, Text)
        parts = (*item.parts[:k], evolve(old, text=mark), *item.parts[k + 1 :])
        items = (*request.prompt.items[:n], evolve(item, parts=parts), *request.prompt.items[n + 1 :])
        written = DIALECT.write_request(request.with_prompt(items=items))
        before, after = written.split(json.dumps(mark, ensure_ascii=False).encode())
        original = request.raw.data
        assert original.startswith(before) and original.endswith(after), name
        assert old.text == json.loads(original[len(before) : len(original) - len(after)]), name


def test_a_message_put_in_or_taken_out_leaves_the_others() -> None:
    """If a message is inserted in front, or the first removed, the text of each other message is the same."""
    for name, body in readable():
        request = read_request(body)
        items = request.prompt.items
        tree = json.loads(named(body))
        new = Message(role="user", parts=(Text("new"), Image(Base64("image/png", "AA=="))))
        written = json.loads(DIALECT.write_request(request.with_prompt(items=(new, *items))))
        assert tree["messages"] == written["messages"][1:], name
        written = json.loads(DIALECT.write_request(request.with_prompt(items=items[1:])))
        assert {**tree, "messages": tree["messages"][1:]} == written, name
        turned = request.with_prompt(items=tuple(reversed(items)), tools=tuple(reversed(request.prompt.tools)))
        written = json.loads(DIALECT.write_request(turned))
        assert tree["messages"][::-1] == written["messages"], name


def test_a_request_written_from_scratch_is_understood_the_same() -> None:
    """A prompt without its body, written anew and read again, has the same words in the same order."""
    for name, body in readable():
        request = read_request(body)
        again = DIALECT.read_request(Head(), DIALECT.write_request(evolve(request, raw=None, prompt=request.prompt)))
        old, new = ("".join(texts(getattr(item, "parts", ())) for item in one.prompt.items) for one in (request, again))
        assert old in new or sorted(old) == sorted(new), name
        assert request.prompt.sampling == again.prompt.sampling, name


# ---- streams ------------------------------------------------------------------------------------


def test_the_frames_of_a_stream_are_its_bytes() -> None:
    """The frames of all events, put together, are the stream."""

    def law(one: Recording) -> None:
        assert one.body == b"".join(frame.data for frame in frames_of(events_of(one)))

    assert failing(law, streams()) == []


@pytest.mark.parametrize("way", ["reader", "relay"])
def test_a_stream_that_nobody_touched_is_copied(way: str) -> None:
    """What the writer writes of untouched events is what the provider sent."""

    def law(one: Recording) -> None:
        events = read(getattr(DIALECT, way)(stream=True), [one.body])
        if way == "relay" and failed(events) and events[0].frame is None:
            return  # nothing was sent, so the error becomes an HTTP status
        assert one.body == write(STREAM, events)

    assert failing(law, streams()) == []


def test_streams_keep_the_laws_of_events() -> None:
    """The events of each stream break no invariant, and only those known to have failed end in an error."""

    def law(one: Recording) -> None:
        invariants = Invariants()
        events = events_of(one)
        assert [broken for event in events if (broken := invariants.feed(event))] == []
        assert isinstance(events[-1], (ResponseEnd, Error))
        said = sse.frames(one.body)
        assert failed(events) == any(b'"error":{' in frame.replace(b" ", b"") for frame in said), folded(events)

    assert failing(law, streams()) == []


def test_a_stream_written_anew_says_the_same() -> None:
    """If no event is pristine, the stream written of them folds to the same reply."""

    def law(one: Recording) -> None:
        events = events_of(one)
        again = read(DIALECT.reader(stream=True), [write(STREAM, touched(events))])
        assert failed(events) == failed(again)
        if not failed(events):
            assert folded(events) == folded(again)

    assert failing(law, streams()) == []


def test_a_stream_is_the_same_however_it_is_cut() -> None:
    """Events and frames do not depend on how the bytes of a stream arrived."""

    def law(one: Recording) -> None:
        if len(one.body) > 20_000:
            return
        expected = events_of(one)
        for pieces in every_cut(one.body):
            actual = read(DIALECT.reader(stream=True), pieces)
            assert [describe(event) for event in expected] == [describe(event) for event in actual]

    assert failing(law, streams()[::4]) == []


def test_a_relayed_stream_is_the_same_however_it_is_cut() -> None:
    """What the relay passes, and how it ends, do not depend on how the bytes of a stream arrived."""

    def law(one: Recording) -> None:
        if len(one.body) > 20_000:
            return
        for pieces in every_cut(one.body):
            events = read(DIALECT.relay(stream=True), pieces)
            whole = read(DIALECT.relay(stream=True), [one.body])
            assert b"".join(frame.data for frame in frames_of(whole)) == b"".join(frame.data for frame in frames_of(events))
            assert describe(whole[-1]) == describe(events[-1])

    assert failing(law, streams()[::4]) == []


def describe(event: Event) -> tuple[Any, ...]:
    """An event with its frame, fit to compare."""
    told = (event.error.message, event.error.kind) if isinstance(event, Error) else event
    frame = event.frame
    return type(event), told, event.pristine, frame and frame.data, frame and frame.count


@pytest.mark.parametrize("way", ["reader", "relay"])
def test_a_stream_ends_before_the_provider_closes(way: str) -> None:
    """Whoever reads a stream in small pieces, and no more once it has ended, misses no byte of it."""

    def law(one: Recording) -> None:
        reader = getattr(DIALECT, way)(stream=True)
        whole = read(getattr(DIALECT, way)(stream=True), [one.body])
        events: list[Event] = []
        for at in range(0, len(one.body), 50):
            if reader.ended:
                break
            events += reader.feed(one.body[at : at + 50])
        events += reader.close()
        assert describe(whole[-1])[0] == describe(events[-1])[0]
        assert b"".join(frame.data for frame in frames_of(whole)) == b"".join(frame.data for frame in frames_of(events))

    assert failing(law, streams()) == []


@pytest.mark.parametrize("request_", [STREAM, WHOLE], ids=["stream", "whole"])
def test_of_our_own_dialect_nothing_is_lost(request_: Request) -> None:
    """A reply of this dialect, untouched or not, loses nothing when it is written."""

    def law(one: Recording) -> None:
        for events in (events_of(one), touched(events_of(one))):
            losses: list[Loss] = []
            writer = DIALECT.writer(request_, losses)
            for event in events:
                writer.feed(event)
            assert [] == losses

    assert failing(law, [*streams(), *wholes()]) == []


def test_a_stream_becomes_a_whole_body() -> None:
    """A stream written for a client that wants a whole reply, and read again, has the same texts, calls and ends."""

    def law(one: Recording) -> None:
        events = events_of(one)
        if failed(events):
            return
        again = fold(read(DIALECT.reader(stream=False), [write(WHOLE, events)]))
        assert gist(told(fold(events), again)) == gist(again)

    assert failing(law, streams()) == []


def gist(reply: Reply) -> Any:
    """What a reply says, without where thoughts and texts take turns, which a message has no room for."""
    out = []
    for choice in reply.choices:
        kinds: dict[str, list[Any]] = {}
        for part in choice.parts:
            key = getattr(part, "text", None) or "".join(getattr(part, "raw_text", ())) or getattr(part, "arguments", "")
            kinds.setdefault(type(part).__name__, []).append(key)
        out.append((choice.index, {kind: "".join(said) for kind, said in kinds.items() if "".join(said)}, choice.stop))
    return reply.id, reply.model, reply.created, out, reply.usage


# ---- whole bodies -------------------------------------------------------------------------------


def test_a_whole_body_that_nobody_touched_is_copied() -> None:
    """What the writer writes of a whole reply is what the provider sent, read or relayed."""

    def law(one: Recording) -> None:
        for way in (DIALECT.reader, DIALECT.relay):
            events = read(way(stream=False), [one.body[:100], one.body[100:]])
            assert failed(events) or one.body == write(WHOLE, events)

    assert failing(law, wholes()) == []


def test_whole_bodies_keep_the_laws_of_events() -> None:
    """The events of each whole body break no invariant; only a body that says so is an error."""

    def law(one: Recording) -> None:
        invariants = Invariants()
        events = events_of(one)
        assert [broken for event in events if (broken := invariants.feed(event))] == []
        assert failed(events) == bool(json.loads(one.body).get("error")), folded(events)

    assert failing(law, wholes()) == []


def test_a_whole_body_written_anew_says_the_same() -> None:
    """If no event is pristine, the body written of them is equal to the provider's."""

    def law(one: Recording) -> None:
        events = events_of(one)
        if not failed(events):
            assert json.loads(one.body) == json.loads(write(WHOLE, touched(events)))

    assert failing(law, wholes()) == []


def test_a_whole_body_changes_where_it_was_changed() -> None:
    """If a text is changed, it is so in the body, and all the rest of the body is as it was."""

    def law(one: Recording) -> None:
        events = events_of(one)
        at = next((n for n, e in enumerate(events) if isinstance(e, BlockDelta) and e.channel == "text"), None)
        if failed(events) or at is None:
            return
        old = events[at]
        assert isinstance(old, BlockDelta)
        mark = "⟦edited⟧"
        events[at] = evolve(old, fragment=mark)
        before, after = write(WHOLE, events).split(json.dumps(mark, ensure_ascii=False).encode())
        assert one.body.startswith(before) and one.body.endswith(after)
        assert old.fragment == json.loads(one.body[len(before) : len(one.body) - len(after)])

    assert failing(law, wholes()) == []


@pytest.mark.parametrize("stream", [True, False])
def test_a_whole_reply_survives_the_writer(stream: bool) -> None:
    """A whole reply unfolded, written as a stream or a body, and read again is the same reply."""

    def law(one: Recording) -> None:
        events = events_of(one)
        if failed(events):
            return
        reply = fold(events)
        data = write(STREAM if stream else WHOLE, unfold(reply))
        again = fold(read(DIALECT.reader(stream=stream), [data]))
        assert told(reply, again) == again

    assert failing(law, wholes()) == []


# ---- errors and models --------------------------------------------------------------------------


def test_recorded_errors_are_classified_and_copied() -> None:
    """Each error of a provider has a message and a kind, and goes to a client of this dialect as it came."""
    for one in load(NAME):
        if one.status >= 400:
            error = DIALECT.read_error(one.status, one.headers, one.body)
            assert error.message and error.status == one.status, one.name
            assert DIALECT.write_error(error) == one.body, one.name
            assert (error.kind == "authentication") == (one.status == 401), (one.name, error.kind)
            assert one.status != 429 or error.kind == "rate_limited", (one.name, error.kind)


def test_recorded_lists_of_models_are_read() -> None:
    """Each recorded list of models is read and written again with all its ids."""
    for one in completions(NAME, "models", stream=False):
        found = DIALECT.read_models(one.body)
        written = json.loads(DIALECT.write_models(found))
        assert found and [model.id for model in found] == [entry["id"] for entry in written["data"]], one.name
