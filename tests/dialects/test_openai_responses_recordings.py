"""Laws of the Responses codec, on what real providers and clients said."""

from __future__ import annotations

import json
from typing import Any

import pytest
from attrs import evolve
from recordings import ROOT, Recording, completions, is_complete, load
from responses import STREAM, WHOLE, feed, objects, write
from responses_recordings import (
    NAME,
    all_touched,
    distinct,
    events_of,
    failed,
    failing,
    folded,
    frames_of,
    read_request,
    requests,
    said,
    streams,
    touched,
    wholes,
    without_ids,
)

from llmgw import jsons, sse
from llmgw.events import BlockDelta, Error, Event, Invariants, ResponseEnd, fold, unfold
from llmgw.model import Base64, Image, Loss, Message, Request, Text
from llmgw.stages import Head
from llmgw_dialects.openai_responses import DIALECT
from llmgw_testing import every_cut


def test_all_recordings_are_looked_at() -> None:
    """Where all recordings are to be had the laws are tried on them; else this is skipped, and the committed ones must do."""
    if not is_complete(NAME):
        pytest.skip(f"no recordings at {ROOT / NAME}: the laws were tried only on the {len(load(NAME))} in tests/recorded")
    assert len(load(NAME)) > 500


# ---- requests -----------------------------------------------------------------------------------


def test_a_request_that_nobody_touched_is_copied() -> None:
    """Reading a request and writing it, even after its prompt was looked at, gives the very same bytes object."""
    for name, operation, body in requests():
        request = read_request(body, operation)
        request.prompt  # noqa: B018  # reading is the point
        assert request.raw is not None
        assert DIALECT.write_request(request) is request.raw.data, name


def test_another_model_changes_the_model_and_no_other_byte() -> None:
    """A request for another model differs from the original in the model's name alone."""
    for name, operation, body in requests():
        request = read_request(body, operation)
        assert request.raw is not None
        written = DIALECT.write_request(request.with_model("other/model"))
        old, new = jsons.dumps(request.model), b'"other/model"'
        at = written.find(new)
        assert request.raw.data == written[:at] + old + written[at + len(new) :], name


def test_a_request_all_of_whose_nodes_were_touched_says_the_same() -> None:
    """If every item, part and tool is written anew from its fields, the JSON is equal to the original's."""
    for name, operation, body in requests():
        request = read_request(body, operation)
        written = DIALECT.write_request(evolve(request, prompt=all_touched(request.prompt)))
        assert json.loads(body) == json.loads(written), name


def test_an_edited_text_changes_alone() -> None:
    """If one text is edited, every byte outside of it stays."""
    mark = "⟦edited⟧"
    for name, operation, body in requests():
        request = read_request(body, operation)
        found = [
            (n, k) for n, item in enumerate(request.prompt.items) if isinstance(item, Message)
            for k, part in enumerate(item.parts) if isinstance(part, Text)
        ]  # fmt: skip
        for n, k in {found[0], found[len(found) // 2], found[-1]} if found else ():
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
    """If a message is inserted in front, the text of each item is the same; what is taken out leaves all others as they were."""
    for name, operation, body in requests():
        request = read_request(body, operation)
        items, tree = request.prompt.items, json.loads(body)
        if not isinstance(tree.get("input"), list) or not tree["input"]:
            continue
        new = Message(role="user", parts=(Text("new"), Image(Base64("image/png", "AA=="))))
        written = json.loads(DIALECT.write_request(request.with_prompt(items=(new, *items))))
        assert tree["input"] == written["input"][1:], name
        written = json.loads(DIALECT.write_request(request.with_prompt(items=items[:-1])))
        assert tree["input"][: len(written["input"])] == written["input"], name
        assert len(written["input"]) < len(tree["input"]), name


def test_a_request_is_written_as_if_it_came_from_elsewhere() -> None:
    """What a request says, written from scratch and read again, is written the same; no id of an item is repeated."""
    for name, operation, body in requests():
        request = read_request(body, operation)
        first = DIALECT.write_request(Request(dialect="x", model="m", prompt=request.prompt))
        again = DIALECT.read_request(Head(), first)
        second = DIALECT.write_request(Request(dialect="x", model="m", prompt=again.prompt))
        assert json.loads(first) == json.loads(second), name


# ---- streams ------------------------------------------------------------------------------------


def test_streams_keep_the_laws_of_events() -> None:
    """The events of each stream break no invariant, and end in an error only where the provider told of one."""

    def law(one: Recording) -> None:
        invariants = Invariants()
        events = events_of(one)
        assert [broken for event in events if (broken := invariants.feed(event))] == []
        assert failed(events) == (b"response.failed" in one.body)

    assert failing(law, streams()) == []


def test_a_stream_that_nobody_touched_is_copied() -> None:
    """What the writer writes of a stream's events is the stream, up to its last frame."""

    def law(one: Recording) -> None:
        written = write(STREAM, events_of(one))
        expected = one.body if failed(events_of(one)) else said(one.body)
        assert expected.startswith(written) and not expected[len(written) :].strip()

    assert failing(law, streams()) == []


def test_a_stream_written_anew_says_the_same() -> None:
    """If no event is pristine, the stream written of them folds to the same reply, and is numbered without a gap."""

    def law(one: Recording) -> None:
        events = events_of(one)
        written = write(STREAM, touched(events))
        again = feed(DIALECT.reader(stream=True), written)
        assert failed(events) == failed(again)
        if failed(events):
            return
        assert folded(events) == folded(again)
        numbers = [tree["sequence_number"] for tree in objects(written) if "sequence_number" in tree]
        assert list(range(numbers[0], numbers[0] + len(numbers))) == numbers

    assert failing(law, streams()) == []


@pytest.mark.parametrize("edit", ["changed", "dropped", "inserted"])
def test_an_edited_stream_says_the_new_text_everywhere(edit: str) -> None:
    """If one fragment is changed, left out or put in, the fragments and the last frame do; frames before it are copied."""

    def law(one: Recording) -> None:
        events = events_of(one)
        found = [n for n, event in enumerate(events) if isinstance(event, BlockDelta) and event.channel == "text"]
        if failed(events) or not found:
            return
        at = found[len(found) // 2]
        old = events[at]
        assert isinstance(old, BlockDelta)
        if edit == "changed":
            events[at] = evolve(old, fragment="⟦edited⟧")
        elif edit == "inserted":
            events.insert(at, BlockDelta(index=old.index, channel="text", fragment="⟦edited⟧"))
        else:
            events = [event for event in events if event.frame is not old.frame]
        written = write(STREAM, events)
        assert fold(events) == fold(feed(DIALECT.reader(stream=True), written))
        whole = feed(DIALECT.reader(stream=False), json.dumps(objects(written)[-1]["response"]).encode())
        assert texts_of(events) == texts_of(whole)
        assert old.frame is not None
        before = said(one.body).partition(old.frame.data)[0]
        assert written.startswith(before)

    assert failing(law, streams()) == []


def texts_of(events: list[Event]) -> list[str]:
    return [part.text for part in fold(events).choices[0].parts if isinstance(part, Text)]


def test_a_stream_is_the_same_however_it_is_cut() -> None:
    """Events and frames do not depend on how the bytes of a stream arrived."""

    def law(one: Recording) -> None:
        if len(one.body) > 20_000:
            return
        expected = [describe(event) for event in events_of(one)]
        for pieces in every_cut(one.body):
            actual = feed(DIALECT.reader(stream=True), *pieces)
            assert expected == [describe(event) for event in actual]

    assert failing(law, streams()[::8]) == []


def test_a_relayed_stream_is_the_same_however_it_is_cut() -> None:
    """What the relay passes, and how it ends, do not depend on how the bytes of a stream arrived."""

    def law(one: Recording) -> None:
        if len(one.body) > 20_000:
            return
        whole = feed(DIALECT.relay(stream=True), one.body)
        expected = b"".join(frame.data for frame in frames_of(whole))
        for pieces in every_cut(one.body):
            events = feed(DIALECT.relay(stream=True), *pieces)
            assert expected == b"".join(frame.data for frame in frames_of(events))
            assert describe(whole[-1]) == describe(events[-1])

    assert failing(law, streams()[::8]) == []


def test_a_relayed_stream_is_copied() -> None:
    """What the writer writes of a relayed stream is the stream, however it came."""

    def law(one: Recording) -> None:
        for size in (50, len(one.body)):
            pieces = [one.body[at : at + size] for at in range(0, len(one.body), size)]
            events = feed(DIALECT.relay(stream=True), *pieces)
            if b"response.failed" in one.body:
                assert isinstance(events[-1], Error)
            else:
                assert one.body == write(STREAM, events) and isinstance(events[-1], ResponseEnd)

    assert failing(law, streams()) == []


def describe(event: Event) -> tuple[Any, ...]:
    """An event with its frame, fit to compare."""
    told = (event.error.message, event.error.kind) if isinstance(event, Error) else event
    frame = event.frame
    return type(event), told, event.pristine, frame and frame.data, frame and frame.count


@pytest.mark.parametrize("way", ["reader", "relay"])
def test_a_stream_ends_before_the_provider_closes(way: str) -> None:
    """Whoever reads a stream in small pieces, and no more once it has ended, misses nothing of the response."""

    def law(one: Recording) -> None:
        reader = getattr(DIALECT, way)(stream=True)
        events: list[Event] = []
        for at in range(0, len(one.body), 50):
            if reader.ended:
                break
            events += reader.feed(one.body[at : at + 50])
        events += reader.close()
        data = b"".join(frame.data for frame in frames_of(events))
        assert isinstance(events[-1], Error if b"response.failed" in one.body else ResponseEnd)
        if not failed(events):
            assert data.strip().startswith(said(one.body).strip())

    assert failing(law, streams()) == []


@pytest.mark.parametrize("request_", [STREAM, WHOLE], ids=["stream", "whole"])
def test_of_our_own_dialect_nothing_is_lost(request_: Request) -> None:
    """A reply of this dialect, untouched or not, loses nothing when it is written."""

    def law(one: Recording) -> None:
        for events in (events_of(one), touched(events_of(one))):
            losses: list[Loss] = []
            write(request_, events, losses)
            assert [] == losses

    assert failing(law, [*streams(), *wholes()]) == []


def test_a_stream_becomes_a_whole_body() -> None:
    """A stream written for a client that wants a whole reply, and read again, has the same parts and the same end."""

    def law(one: Recording) -> None:
        events = events_of(one)
        if failed(events):
            return
        again = fold(feed(DIALECT.reader(stream=False), write(WHOLE, events)))
        reply = fold(events)
        missing = list(again.choices[0].parts)
        for part in reply.choices[0].parts:
            assert part in missing
            missing.remove(part)
        assert [] == missing
        assert (reply.id, reply.model, reply.usage) == (again.id, again.model, again.usage)
        assert reply.choices[0].stop == again.choices[0].stop

    assert failing(law, streams()) == []


# ---- whole bodies -------------------------------------------------------------------------------


def test_a_whole_body_that_nobody_touched_is_copied() -> None:
    """What the writer writes of a whole reply is what the provider sent, read or relayed."""

    def law(one: Recording) -> None:
        for way in (DIALECT.reader, DIALECT.relay):
            events = feed(way(stream=False), one.body[:100], one.body[100:])
            assert one.body == write(WHOLE, events)

    assert failing(law, wholes()) == []


def test_whole_bodies_keep_the_laws_of_events() -> None:
    """The events of each whole body break no invariant; none of them is an error."""

    def law(one: Recording) -> None:
        invariants = Invariants()
        events = events_of(one)
        assert [broken for event in events if (broken := invariants.feed(event))] == []
        assert not failed(events)

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
def test_a_reply_survives_the_writer(stream: bool) -> None:
    """A reply unfolded, written as a stream or a body, and read again is the same reply."""

    def law(one: Recording) -> None:
        events = events_of(one)
        if failed(events):
            return
        reply = distinct(fold(events))
        data = write(STREAM if stream else WHOLE, unfold(reply))
        again = fold(feed(DIALECT.reader(stream=stream), data))
        assert reply == without_ids(again, reply)

    assert failing(law, [*wholes(), *streams()]) == []


# ---- errors and counts --------------------------------------------------------------------------


def test_recorded_errors_are_classified_and_copied() -> None:
    """Each error of a provider has a message and a kind, and goes to a client of this dialect as it came."""
    for one in load(NAME):
        if one.status >= 400:
            error = DIALECT.read_error(one.status, one.headers, one.body)
            assert error.message and error.status == one.status, one.name
            assert DIALECT.write_error(error) == one.body, one.name
            assert DIALECT.error_status(error) == one.status, one.name
            assert one.status != 401 or error.kind == "authentication", (one.name, error.kind)


def test_recorded_counts_are_read() -> None:
    """Each recorded count of tokens is read, and written as it came."""
    for one in completions(NAME, "responses.input_tokens", stream=False):
        tokens = DIALECT.read_count(one.body)
        assert tokens == json.loads(one.body)["input_tokens"], one.name
        assert json.loads(DIALECT.write_count(tokens)) == json.loads(one.body), one.name


def test_frames_of_ours_are_whole() -> None:
    """Each frame that the writer writes has its event's name before it and an empty line behind it."""

    def law(one: Recording) -> None:
        events = events_of(one)
        if failed(events):
            return
        for frame in sse.frames(write(STREAM, unfold(fold(events)))):
            name, data = sse.parse(frame)
            assert data is not None and json.loads(data)["type"] == name

    assert failing(law, wholes()[::5]) == []
