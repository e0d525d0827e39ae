"""Laws of the Messages codec, on what real providers and clients said."""

from __future__ import annotations

import json
from typing import Any

import pytest
from attrs import evolve
from messages import STREAM, WHOLE, bare, data_of, feed, lawful, read, touched, write
from messages_recordings import (
    NAME,
    all_touched,
    compact,
    events_of,
    failed,
    failing,
    folded,
    read_request,
    requests,
    streams,
    wholes,
)
from recordings import ROOT, Recording, completions, is_complete, load

from llmgw import jsons
from llmgw.events import BlockDelta, Error, Event, Reply, ResponseEnd, fold, unfold
from llmgw.model import Loss, Message, Prompt, Request, Text, ToolResult, texts
from llmgw.stages import Head
from llmgw_dialects.anthropic_messages import DIALECT
from llmgw_testing import every_cut


def test_all_recordings_are_looked_at() -> None:
    """Where all recordings are to be had the laws are tried on them; else this is skipped, and the committed ones must do."""
    if not is_complete(NAME):
        pytest.skip(f"no recordings at {ROOT / NAME}: the laws were tried only on the {len(load(NAME))} in tests/recorded")
    assert len(load(NAME)) > 300


# ---- requests -----------------------------------------------------------------------------------


def test_a_request_that_nobody_touched_is_copied() -> None:
    """Reading a request and writing it, even after its prompt was looked at, gives the very same bytes object."""
    for name, body in requests():
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


def test_a_request_all_of_whose_nodes_were_touched_says_the_same() -> None:
    """If every item, part and tool is written anew from its fields, the JSON is equal to the original's."""
    for name, body in requests():
        request = read_request(body)
        losses: list[Loss] = []
        written = DIALECT.write_request(evolve(request, prompt=all_touched(request.prompt)), losses)
        assert json.loads(body) == json.loads(written), name
        assert [] == losses, name


def text_places(prompt: Prompt) -> list[tuple[int, int]]:
    """Where texts stand: the numbers of their items and parts."""
    return [
        (n, k) for n, item in enumerate(prompt.items) if isinstance(item, Message | ToolResult)
        for k, part in enumerate(item.parts) if isinstance(part, Text)
    ]  # fmt: skip


def with_text(prompt: Prompt, n: int, k: int, text: str) -> tuple[Any, ...]:
    """The items, with another text at one place."""
    item: Any = prompt.items[n]
    part = item.parts[k]
    parts = (*item.parts[:k], evolve(part, text=text), *item.parts[k + 1 :])
    return (*prompt.items[:n], evolve(item, parts=parts), *prompt.items[n + 1 :])


def test_an_edited_text_changes_alone() -> None:
    """If one text is edited, wherever it stands, every byte outside of it stays."""
    mark = "⟦edited⟧"
    for name, body in requests():
        request = read_request(body)
        for n, k in text_places(request.prompt)[:12]:
            old: Any = request.prompt.items[n]
            items = with_text(request.prompt, n, k, mark)
            before, after = DIALECT.write_request(request.with_prompt(items=items)).split(
                json.dumps(mark, ensure_ascii=False).encode()
            )
            original = body
            assert original.startswith(before) and original.endswith(after), name
            assert old.parts[k].text == json.loads(original[len(before) : len(original) - len(after)]), name


def test_an_edited_system_prompt_changes_alone() -> None:
    """If one block of the system prompt is edited, the rest of the body is as it was; a new block stands behind it."""
    for name, body in requests():
        request, tree = read_request(body), json.loads(body)
        if not tree.get("system"):
            continue
        first: Any = request.prompt.items[0]
        changed = evolve(first, parts=(evolve(first.parts[0], text="new"), *first.parts[1:]))
        written = json.loads(DIALECT.write_request(request.with_prompt(items=(changed, *request.prompt.items[1:]))))
        old = tree["system"]
        expected = "new" if isinstance(old, str) else [{**old[0], "text": "new"}, *old[1:]]
        assert {**tree, "system": expected} == written, name
        longer = evolve(first, parts=(*first.parts, Text("more")))
        written = json.loads(DIALECT.write_request(request.with_prompt(items=(longer, *request.prompt.items[1:]))))
        blocks = [{"type": "text", "text": old}] if isinstance(old, str) else old
        assert {**tree, "system": [*blocks, {"type": "text", "text": "more"}]} == written, name


def test_a_message_put_in_or_taken_out_leaves_the_others() -> None:
    """If a message is inserted, or one removed, or all are reversed, the text of each other message is the same."""
    for name, body in requests():
        request = read_request(body)
        tree = json.loads(body)
        items = request.prompt.items
        new = Message(role="user", parts=(Text("new"),))
        written = json.loads(DIALECT.write_request(request.with_prompt(items=(*items, new))))
        assert {**tree, "messages": [*tree["messages"], {"role": "user", "content": "new"}]} == written, name
        last = [item for item in items if item.source is None or item.source.path[:2] != ("messages", len(tree["messages"]) - 1)]
        written = json.loads(DIALECT.write_request(request.with_prompt(items=tuple(last))))
        assert {**tree, "messages": tree["messages"][:-1]} == written, name
        turns = [[i for i in items if i.source and i.source.path[:2] == ("messages", n)] for n in range(len(tree["messages"]))]
        head = [item for item in items if item.source and item.source.path == ("system",)]
        turned = (*head, *(item for turn in reversed(turns) for item in turn))
        written = json.loads(DIALECT.write_request(request.with_prompt(items=turned)))
        assert tree["messages"][::-1] == written["messages"], name


def test_a_request_written_from_scratch_is_understood_the_same() -> None:
    """A prompt without its body, written anew and read again, has the same words in the same order, and the same settings."""
    for name, body in requests():
        request = read_request(body)
        again = DIALECT.read_request(Head(), DIALECT.write_request(evolve(request, raw=None, prompt=request.prompt)))
        old, new = ("".join(texts(getattr(item, "parts", ())) for item in one.prompt.items) for one in (request, again))
        assert old == new, name
        one, two = request.prompt, again.prompt
        assert evolve(one.sampling, max_output=one.sampling.max_output or 32_000) == two.sampling, name
        assert (one.output, one.end_user, one.tool_choice, one.cache.auto) == (
            two.output,
            two.end_user,
            two.tool_choice,
            two.cache.auto,
        )
        assert sorted(map(str, one.tools)) == sorted(map(str, two.tools)), name
        assert one.reasoning == two.reasoning or (one.reasoning.mode, two.reasoning.mode) == ("unset", "adaptive"), name


# ---- streams ------------------------------------------------------------------------------------


def test_the_frames_of_a_stream_are_its_bytes() -> None:
    """The frames of all events, put together, are the stream."""

    def law(one: Recording) -> None:
        assert one.body == data_of(events_of(one))

    assert failing(law, streams()) == []


@pytest.mark.parametrize("way", ["reader", "relay"])
def test_a_stream_that_nobody_touched_is_copied(way: str) -> None:
    """What the writer writes of untouched events is what the provider sent."""

    def law(one: Recording) -> None:
        events = feed(getattr(DIALECT, way)(stream=True), one.body)
        if way == "relay" and failed(events) and events[0].frame is None:
            return  # nothing was sent, so the error becomes an HTTP status
        assert one.body == write(STREAM, events)

    assert failing(law, streams()) == []


def test_streams_keep_the_laws_of_events() -> None:
    """The events of each stream break no invariant, and only those known to have failed end in an error."""

    def law(one: Recording) -> None:
        events = lawful(events_of(one))
        assert isinstance(events[-1], (ResponseEnd, Error))
        assert failed(events) == (b"event: error" in one.body), folded(events)

    assert failing(law, streams()) == []


def test_a_stream_written_anew_says_the_same() -> None:
    """If no event is pristine, or none is known to come from anywhere, the stream written of them folds to the same reply."""

    def law(one: Recording) -> None:
        events = events_of(one)
        again = read(write(STREAM, touched(events)))
        assert failed(events) == failed(again)
        if not failed(events):
            assert folded(events) == folded(again)
            assert signed(fold(events)) == signed(fold(read(write(STREAM, bare(events)))))

    assert failing(law, streams()) == []


def signed(reply: Reply) -> Reply:
    """A reply as a client may get it: nothing said is left out, an empty text is."""
    choices = tuple(evolve(one, parts=tuple(part for part in one.parts if part != Text(""))) for one in reply.choices)
    return evolve(reply, choices=choices)


def test_a_stream_of_whose_frames_some_were_touched_says_the_same() -> None:
    """If every second or third event is written anew amid copied ones, the reply is the same."""

    def law(one: Recording) -> None:
        events = events_of(one)
        for step in (2, 3):
            mixed = [evolve(event) if number % step else event for number, event in enumerate(events)]
            assert folded(events) == folded(read(write(STREAM, mixed)))

    assert failing(law, streams()) == []


def test_a_stream_is_the_same_however_it_is_cut() -> None:
    """Events and frames do not depend on how the bytes of a stream arrived."""

    def law(one: Recording) -> None:
        if len(one.body) > 20_000:
            return
        expected = events_of(one)
        for pieces in every_cut(one.body):
            actual = feed(DIALECT.reader(stream=True), *pieces)
            assert [describe(event) for event in expected] == [describe(event) for event in actual]

    assert failing(law, streams()[::3]) == []


def test_a_relayed_stream_is_the_same_however_it_is_cut() -> None:
    """What the relay passes, and how it ends, do not depend on how the bytes of a stream arrived."""

    def law(one: Recording) -> None:
        if len(one.body) > 20_000:
            return
        for pieces in every_cut(one.body):
            events = feed(DIALECT.relay(stream=True), *pieces)
            whole = feed(DIALECT.relay(stream=True), one.body)
            assert data_of(whole) == data_of(events)
            assert describe(whole[-1]) == describe(events[-1])

    assert failing(law, streams()[::3]) == []


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
        whole = feed(getattr(DIALECT, way)(stream=True), one.body)
        events: list[Event] = []
        for at in range(0, len(one.body), 50):
            if reader.ended:
                break
            events += reader.feed(one.body[at : at + 50])
        assert reader.ended or failed(whole)
        events += reader.close()
        assert describe(whole[-1])[0] == describe(events[-1])[0]
        assert data_of(whole) == data_of(events)

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
    """A stream written for a client that wants a whole reply, and read again, is the same reply."""

    def law(one: Recording) -> None:
        events = events_of(one)
        if failed(events):
            return
        again = fold(feed(DIALECT.reader(stream=False), write(WHOLE, events)))
        assert compact(evolve(fold(events), extras={})) == compact(evolve(again, extras={}))

    assert failing(law, streams()) == []


# ---- whole bodies -------------------------------------------------------------------------------


def test_a_whole_body_that_nobody_touched_is_copied() -> None:
    """What the writer writes of a whole reply is what the provider sent, read or relayed."""

    def law(one: Recording) -> None:
        for way in (DIALECT.reader, DIALECT.relay):
            events = feed(way(stream=False), one.body[:100], one.body[100:])
            assert failed(events) or one.body == write(WHOLE, events)

    assert failing(law, wholes()) == []


def test_whole_bodies_keep_the_laws_of_events() -> None:
    """The events of each whole body break no invariant; only a body that says so is an error."""

    def law(one: Recording) -> None:
        events = lawful(events_of(one))
        assert failed(events) == bool(json.loads(one.body).get("error")), folded(events)

    assert failing(law, wholes()) == []


def test_a_whole_body_written_anew_says_the_same() -> None:
    """If no event is pristine, the body written of them is equal to the provider's."""

    def law(one: Recording) -> None:
        assert json.loads(one.body) == json.loads(write(WHOLE, touched(events_of(one))))

    assert failing(law, wholes()) == []


def test_a_whole_body_changes_where_it_was_changed() -> None:
    """If a text is changed, it is so in the body, and all the rest of the body is as it was."""

    def law(one: Recording) -> None:
        events = events_of(one)
        at = next((n for n, e in enumerate(events) if isinstance(e, BlockDelta) and e.channel == "text"), None)
        if at is None:
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
        reply = signed(fold(events_of(one)))
        data = write(STREAM if stream else WHOLE, unfold(reply))
        assert compact(reply) == compact(fold(lawful(feed(DIALECT.reader(stream=stream), data))))

    assert failing(law, wholes()) == []


# ---- errors, models and counts ------------------------------------------------------------------


def test_recorded_errors_are_classified_and_copied() -> None:
    """Each error of a provider has a message and a kind, and goes to a client of this dialect as it came."""
    for one in load(NAME):
        if one.status >= 400:
            error = DIALECT.read_error(one.status, one.headers, one.body)
            assert error.message and error.status == one.status, one.name
            assert DIALECT.write_error(error) == one.body, one.name
            assert DIALECT.error_status(error) == one.status, one.name
            assert (error.kind == "authentication") == (one.status == 401), (one.name, error.kind)
            assert one.status != 429 or error.kind == "rate_limited", (one.name, error.kind)
            assert (error.kind == "context_length") == (b"prompt is too long" in one.body), (one.name, error.kind)
            assert (error.kind == "model_not_found") == (one.status == 404), (one.name, error.kind)


def test_recorded_lists_of_models_are_read() -> None:
    """Each recorded list of models is read and written again with all its ids."""
    for one in completions(NAME, "models", stream=False):
        found = DIALECT.read_models(one.body)
        tree, written = json.loads(one.body), json.loads(DIALECT.write_models(found))
        sizes = [(given.get("max_input_tokens"), given.get("max_tokens")) for given in tree["data"]]
        assert sizes == [(info.context, info.max_output) for info in found]
        for mine, given in zip(written["data"], tree["data"], strict=True):
            assert {key: given[key] for key in ("id", "type", "display_name", "created_at")} == {
                key: mine[key] for key in ("id", "type", "display_name", "created_at")
            }, one.name
        assert tree["first_id"] == written["first_id"] and tree["last_id"] == written["last_id"]


def test_recorded_counts_are_read() -> None:
    """Each recorded count of tokens is read and written again, and its request is one that asks for a count."""
    found = list(completions(NAME, "messages.count_tokens", stream=False))
    for one in found:
        assert one.request is not None
        request = DIALECT.read_request(Head(operation="count_tokens"), one.request)
        assert request.operation == "count_tokens" and request.raw is not None
        assert DIALECT.write_request(request) == one.request
        assert json.loads(one.body) == json.loads(DIALECT.write_count(DIALECT.read_count(one.body)))
