"""Laws of the generateContent codec, on what Google and its clients said."""

from __future__ import annotations

import json
from typing import Any

import pytest
from attrs import evolve
from gemini import ARRAY, STREAM, WHOLE, data_of, feed, head, write
from gemini_recordings import (
    NAME,
    all_touched,
    events_of,
    failed,
    failing,
    folded,
    read_request,
    replies,
    requests,
    told,
    touched,
)
from recordings import ROOT, Recording, is_complete, load

from llmgw.events import BlockDelta, Error, Event, Invariants, ResponseEnd, fold, unfold
from llmgw.model import Loss, Message, Request, Text, texts
from llmgw_dialects.google_gemini import DIALECT
from llmgw_testing import every_cut


def test_all_recordings_are_looked_at() -> None:
    """Where all recordings are to be had the laws are tried on them; else this is skipped, and the committed ones must do."""
    if not is_complete(NAME):
        pytest.skip(f"no recordings at {ROOT / NAME}: the laws were tried only on the {len(load(NAME))} in tests/recorded")
    assert len(requests()) > 400
    assert [len(replies(one)) > least for one, least in (("whole", 240), ("sse", 180), ("array", 15))] == [True] * 3


# ---- requests -----------------------------------------------------------------------------------


def test_a_request_that_nobody_touched_is_copied() -> None:
    """Reading a request and writing it, even after its prompt was looked at, gives the very same bytes object."""

    def law(one: Recording) -> None:
        request = read_request(one)
        request.prompt  # noqa: B018  # reading is the point
        assert request.raw is not None
        assert DIALECT.write_request(request) is request.raw.data
        assert one.request == request.raw.data

    assert failing(law, requests()) == []


def test_a_request_all_of_whose_nodes_were_touched_says_the_same() -> None:
    """If every item, part and tool is written anew from its fields, the JSON is equal to the original's."""

    def law(one: Recording) -> None:
        request = read_request(one)
        written = DIALECT.write_request(evolve(request, prompt=all_touched(request.prompt)))
        assert json.loads(one.request or b"") == json.loads(written)

    assert failing(law, requests()) == []


def test_an_edited_text_changes_alone() -> None:
    """If one text is edited, every byte outside of it stays."""
    mark = "⟦edited⟧"

    def law(one: Recording) -> None:
        request = read_request(one)
        found = [
            (n, k) for n, item in enumerate(request.prompt.items) if isinstance(item, Message)
            for k, part in enumerate(item.parts) if isinstance(part, Text) and part.text
        ]  # fmt: skip
        if not found:
            return
        n, k = found[len(found) // 2]
        item = request.prompt.items[n]
        assert isinstance(item, Message) and request.raw is not None
        old = item.parts[k]
        assert isinstance(old, Text)
        parts = (*item.parts[:k], evolve(old, text=mark), *item.parts[k + 1 :])
        items = (*request.prompt.items[:n], evolve(item, parts=parts), *request.prompt.items[n + 1 :])
        written = DIALECT.write_request(request.with_prompt(items=items))
        tree = json.loads(request.raw.data)
        assert old.text == _replaced(tree, json.loads(written), mark)

    assert failing(law, requests()) == []


def _replaced(old: Any, new: Any, mark: str) -> Any:
    """What stood where the mark is; all else must be the same."""
    if new == mark:
        return old
    if old == new:
        return None
    assert type(old) is type(new) and len(old) == len(new)
    pairs = [(old[key], new[key]) for key in old] if isinstance(old, dict) else list(zip(old, new, strict=True))
    found = [one for one in (_replaced(*pair, mark) for pair in pairs) if one is not None]
    assert len(found) == 1
    return found[0]


def test_a_content_put_in_or_taken_out_leaves_the_others() -> None:
    """If a content is inserted in front, or all are turned round, the others keep their JSON."""

    def law(one: Recording) -> None:
        request = read_request(one)
        if b"invalid_role" in (one.request or b"") or "contents" not in json.loads(one.request or b""):
            return
        tree = json.loads(one.request or b"")
        new = Message(role="user", parts=(Text("new"),))
        items = request.prompt.items
        spoken = [item for item in items if isinstance(item, Message)]
        at = items.index(spoken[0]) if spoken else len(items)
        written = json.loads(DIALECT.write_request(request.with_prompt(items=(*items[:at], new, *items[at:]))))
        assert tree["contents"] == written["contents"][1:]
        assert {**tree, "contents": 0} == {**written, "contents": 0}

    assert failing(law, requests()) == []


def test_a_request_written_from_scratch_is_understood_the_same() -> None:
    """A prompt without its body, written anew and read again, has the same words and the same settings."""

    def law(one: Recording) -> None:
        request = read_request(one)
        data = DIALECT.write_request(evolve(request, raw=None, prompt=request.prompt))
        again = DIALECT.read_request(head(one.endpoint, alt="sse"), data)
        old, new = ("".join(texts(getattr(item, "parts", ())) for item in each.prompt.items) for each in (request, again))
        assert sorted(old) == sorted(new)
        assert request.prompt.sampling == again.prompt.sampling
        assert request.prompt.reasoning == again.prompt.reasoning
        assert request.prompt.tool_choice == again.prompt.tool_choice
        assert sorted(map(_named, request.prompt.tools)) == sorted(map(_named, again.prompt.tools))

    assert failing(law, [one for one in requests() if b"invalid_role" not in (one.request or b"")]) == []


def _named(tool: Any) -> str:
    return str(getattr(tool, "name", tool))


# ---- replies ------------------------------------------------------------------------------------

ASKED = {"sse": STREAM, "array": ARRAY, "whole": WHOLE}
FRAMINGS = pytest.mark.parametrize("framing", list(ASKED))


@FRAMINGS
def test_the_frames_of_a_reply_are_its_bytes(framing: str) -> None:
    """The frames of all events, put together, are the reply."""

    def law(one: Recording) -> None:
        assert one.body == data_of(events_of(one))

    assert failing(law, replies(framing)) == []


@FRAMINGS
@pytest.mark.parametrize("way", ["reader", "relay"])
def test_a_reply_that_nobody_touched_is_copied(framing: str, way: str) -> None:
    """What the writer writes of untouched events is what the provider sent."""

    def law(one: Recording) -> None:
        events = feed(getattr(DIALECT, way)(stream=framing != "whole"), one.body[:100], one.body[100:])
        assert not failed(events), folded(events)
        assert one.body == write(ASKED[framing], events)

    assert failing(law, replies(framing)) == []


@FRAMINGS
def test_replies_keep_the_laws_of_events(framing: str) -> None:
    """The events of each reply break no invariant."""

    def law(one: Recording) -> None:
        invariants = Invariants()
        events = events_of(one)
        assert [broken for event in events if (broken := invariants.feed(event))] == []
        assert isinstance(events[-1], (ResponseEnd, Error))
        assert not failed(events), folded(events)

    assert failing(law, replies(framing)) == []


@FRAMINGS
def test_a_reply_written_anew_says_the_same(framing: str) -> None:
    """If no event is pristine, what is written of them folds to the same reply; a body is even equal."""

    def law(one: Recording) -> None:
        events = events_of(one)
        data = write(ASKED[framing], touched(events))
        assert folded(events) == folded(feed(DIALECT.reader(stream=framing != "whole"), data))
        if framing == "whole":
            assert json.loads(one.body) == json.loads(data)

    assert failing(law, replies(framing)) == []


@FRAMINGS
@pytest.mark.parametrize("way", ["reader", "relay"])
def test_a_reply_is_the_same_however_it_is_cut(framing: str, way: str) -> None:
    """Events and frames do not depend on how the bytes of a reply arrived."""

    def law(one: Recording) -> None:
        if len(one.body) > 12_000:
            return
        make = getattr(DIALECT, way)
        expected = feed(make(stream=framing != "whole"), one.body)
        for pieces in every_cut(one.body, most=200):
            actual = feed(make(stream=framing != "whole"), *pieces)
            if way == "relay":
                assert data_of(expected) == data_of(actual)
                assert describe(expected[-1]) == describe(actual[-1])
            else:
                assert [describe(event) for event in expected] == [describe(event) for event in actual]

    assert failing(law, replies(framing)[::4]) == []


def describe(event: Event) -> tuple[Any, ...]:
    """An event with its frame, fit to compare."""
    said = (event.error.message, event.error.kind) if isinstance(event, Error) else event
    frame = event.frame
    return type(event), said, event.pristine, frame and frame.data, frame and frame.count


@pytest.mark.parametrize("to", ["sse", "array", "whole"])
@FRAMINGS
def test_a_reply_survives_the_writer(framing: str, to: str) -> None:
    """A reply unfolded, written in any framing, and read again is the same reply."""

    def law(one: Recording) -> None:
        reply = fold(events_of(one))
        data = write(ASKED[to], unfold(reply))
        again = fold(feed(DIALECT.reader(stream=to != "whole"), data))
        assert told(reply) == told(again)

    assert failing(law, replies(framing)) == []


@pytest.mark.parametrize("to", ["sse", "array", "whole"])
@FRAMINGS
def test_a_reply_changes_its_framing(framing: str, to: str) -> None:
    """A provider's reply, untouched or relayed, says the same to a client that wants another framing."""

    def law(one: Recording) -> None:
        for way in ("reader", "relay"):
            if way == "relay" and (framing == "whole") != (to == "whole"):
                continue  # the kernel relays only what the client asked for
            events = feed(getattr(DIALECT, way)(stream=framing != "whole"), one.body)
            again = feed(DIALECT.reader(stream=to != "whole"), write(ASKED[to], events))
            assert not failed(again), folded(again)
            assert told(fold(events_of(one))) == told(fold(again))

    assert failing(law, replies(framing)) == []


@FRAMINGS
def test_of_our_own_dialect_nothing_is_lost(framing: str) -> None:
    """A reply of this dialect, untouched or not, loses nothing when it is written."""

    def law(one: Recording) -> None:
        for events in (events_of(one), touched(events_of(one))):
            losses: list[Loss] = []
            writer = DIALECT.writer(ASKED[framing], losses)
            for event in events:
                writer.feed(event)
            assert [] == losses

    assert failing(law, replies(framing)) == []


@FRAMINGS
def test_an_edited_text_of_a_reply_is_told(framing: str) -> None:
    """If a text of a reply is changed, the client gets the changed one, and all other texts as they were."""
    mark = "⟦edited⟧"

    def law(one: Recording) -> None:
        events = events_of(one)
        at = [n for n, event in enumerate(events) if isinstance(event, BlockDelta) and event.channel == "text"]
        if not at:
            return
        old = events[at[-1]]
        assert isinstance(old, BlockDelta)
        events[at[-1]] = evolve(old, fragment=mark)
        data = write(ASKED[framing], events)
        assert fold(events) == fold(feed(DIALECT.reader(stream=framing != "whole"), data))

    assert failing(law, replies(framing)) == []


# ---- errors and models --------------------------------------------------------------------------


def test_recorded_errors_are_classified_and_copied() -> None:
    """Each error of Google's has a message and a kind, and goes to a client of this dialect as it came."""
    kinds = {
        400: {"invalid_request", "authentication", "context_length"},
        403: {"permission"},
        404: {"model_not_found"},
        429: {"rate_limited"},
    }
    for one in load(NAME):
        if one.status >= 400:
            error = DIALECT.read_error(one.status, one.headers, one.body)
            assert error.message and error.status == one.status == DIALECT.error_status(error), one.name
            assert DIALECT.write_error(error) == one.body, one.name
            assert error.kind in kinds[one.status], (one.name, error.kind)
            assert (b"RetryInfo" in one.body) == (error.retry_after is not None), one.name


def test_recorded_lists_of_models_and_counts_are_read() -> None:
    """Each recorded list of models is read and written again as it was; each count is a number."""
    for one in load(NAME):
        if one.status == 200 and one.endpoint == "models":
            found = DIALECT.read_models(one.body)
            given = json.loads(one.body)["models"]
            assert given == json.loads(DIALECT.write_models(found))["models"], one.name
            sizes = [(entry.get("inputTokenLimit"), entry.get("outputTokenLimit")) for entry in given]
            assert sizes == [(info.context, info.max_output) for info in found], one.name
        if one.status == 200 and one.endpoint == "countTokens":
            assert json.loads(one.body)["totalTokens"] == DIALECT.read_count(one.body) > 0, one.name


def test_a_request_is_not_read_before_it_is_asked_for() -> None:
    """What routing needs is found without reading the body."""
    for one in requests():
        request: Request = read_request(one)
        assert request.model == "m", one.name
