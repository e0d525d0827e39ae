from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from llmgw.errors import UpstreamTimeout
from llmgw.events import (
    BlockDelta,
    BlockMeta,
    BlockStart,
    BlockStop,
    Choice,
    Error,
    Event,
    Frame,
    Invariants,
    Progress,
    Raw,
    Reply,
    ResponseEnd,
    ResponseStart,
    Stop,
    StopReason,
    Usage,
    UsageUpdate,
    cut_short,
    fold,
    framed,
    is_meaningful,
    unfold,
)
from llmgw.model import (
    Audio,
    Carrier,
    Citation,
    Image,
    OpaquePart,
    Reasoning,
    Refusal,
    ServerToolCall,
    ServerToolResult,
    Text,
    ToolCall,
    Url,
)

# ---- replies ------------------------------------------------------------------------------------

WORDS = st.text("ab é", max_size=5)
MAYBE = st.none() | st.text("ab", min_size=1, max_size=3)
NUMBER = st.none() | st.integers(0, 100)
TREE = st.none() | st.dictionaries(st.text("ab", max_size=2), st.integers(), min_size=1, max_size=2)
CARRIERS = st.none() | st.builds(Carrier, provider=st.just("p"), kind=st.just("signature"), payload=WORDS)
CITATIONS = st.lists(st.builds(Citation, kind=st.just("url"), url=MAYBE), max_size=2).map(tuple)
TEXTS = st.lists(WORDS, max_size=3).map(tuple)

PARTS = st.one_of(
    st.builds(
        Text,
        WORDS,
        citations=CITATIONS,
        logprobs=st.none() | st.lists(st.integers(), min_size=1, max_size=2),
        group=NUMBER,
        id=MAYBE,
        phase=st.none() | st.just("commentary"),
        carrier=CARRIERS,
    ),
    st.builds(Reasoning, summary=TEXTS, raw_text=TEXTS, carrier=CARRIERS, redacted=st.booleans(), id=MAYBE, status=MAYBE),
    st.builds(
        ToolCall,
        call_id=WORDS,
        name=WORDS,
        arguments=WORDS,
        kind=st.sampled_from(["function", "custom", "builtin"]),
        namespace=MAYBE,
        native_id=MAYBE,
        item_id=MAYBE,
        carrier=CARRIERS,
        caller=TREE,
        is_async=st.booleans(),
        status=MAYBE,
    ),
    st.builds(Refusal, WORDS, category=MAYBE, explanation=MAYBE),
    st.builds(ServerToolCall, tool=WORDS, id=MAYBE, input=TREE, raw=TREE),
    st.builds(ServerToolResult, tool=WORDS, id=MAYBE, output=TREE, raw=TREE),
    st.builds(Audio, st.none(), id=MAYBE, transcript=MAYBE, expires_at=NUMBER),
    st.builds(OpaquePart, dialect=WORDS, type=WORDS, raw=TREE),
)
USAGES = st.builds(Usage, input_total=NUMBER, output_total=NUMBER, cache_read=NUMBER, reasoning=NUMBER, estimated=st.booleans())


@st.composite
def replies(draw: st.DrawFn) -> Reply:
    """A whole reply, as a back-end or a filter may give it."""
    stop = st.builds(StopReason, st.sampled_from(["end", "tool_use"]), sequence=MAYBE, raw=MAYBE)
    choices = [
        Choice(index=index, parts=tuple(draw(st.lists(PARTS, max_size=3))), stop=draw(stop))
        for index in range(draw(st.integers(1, 3)))
    ]
    return Reply(
        id=draw(MAYBE),
        model=draw(MAYBE),
        created=draw(NUMBER),
        choices=tuple(choices),
        usage=draw(st.none() | USAGES),
        extras=draw(st.dictionaries(WORDS, st.integers(), max_size=2)),
    )


@given(replies())
def test_a_reply_survives_being_streamed(reply: Reply) -> None:
    """Unfolded and folded again it is the same."""
    assert reply == fold(unfold(reply))


@given(replies())
def test_unfolding_keeps_the_laws(reply: Reply) -> None:
    """Its events break none."""
    laws = Invariants()

    assert [] == [broken for event in unfold(reply) if (broken := laws.feed(event))]


@given(replies(), st.data())
def test_deltas_may_be_cut_anywhere(reply: Reply, chance: st.DataObject) -> None:
    """A text in many fragments folds into the same text."""
    events: list[Event] = []
    for event in unfold(reply):
        if isinstance(event, BlockDelta):
            at = chance.draw(st.integers(0, len(event.fragment)))
            events += [evolve(event, fragment=event.fragment[:at]), evolve(event, fragment=event.fragment[at:])]
        else:
            events.append(event)

    assert reply == fold(events)


def test_no_model_answers_with_a_picture_of_a_url() -> None:
    """What cannot be an answer is a mistake of who made it."""
    with pytest.raises(TypeError, match="Image"):
        unfold(Reply(choices=(Choice(parts=(Image(Url("http://h")),)),)))


def test_blocks_of_choices_may_be_mixed() -> None:
    """Each event says which choice it belongs to."""
    events = [
        ResponseStart(),
        BlockStart(index=0, kind="text"),
        BlockStart(index=0, kind="text", choice=1),
        BlockDelta(index=0, channel="text", fragment="a"),
        BlockDelta(index=0, channel="text", fragment="b", choice=1),
        BlockDelta(index=0, channel="text", fragment="a"),
        Stop(reason=StopReason("end"), choice=1),
        Stop(reason=StopReason("end")),
        ResponseEnd(),
    ]

    assert [(Text("aa"),), (Text("b"),)] == [choice.parts for choice in fold(events).choices]


def test_an_error_has_no_reply() -> None:
    """Events that end in an error fold into it."""
    with pytest.raises(UpstreamTimeout):
        fold([ResponseStart(), Error(error=UpstreamTimeout("slow"))])


def test_the_last_word_on_usage_counts() -> None:
    """A later snapshot replaces what it names and nothing else; start, updates and end are snapshots alike."""
    events = [
        ResponseStart(usage=Usage(input_total=1, cache_read=5)),
        UsageUpdate(usage=Usage(output_total=2, estimated=True)),
        ResponseEnd(usage=Usage(output_total=3)),
    ]

    assert Usage(input_total=1, output_total=3, cache_read=5) == fold(events).usage


def test_the_last_carrier_wins_and_the_rest_is_appended() -> None:
    """Of what is said about a block."""
    one, two = (Carrier(provider="p", kind="signature", payload=payload) for payload in "12")
    metas: list[tuple[Any, Any]] = [
        ("carrier", one),
        ("logprobs", [1]),
        ("carrier", two),
        ("logprobs", [2]),
        ("citation", Citation("url")),
    ]
    events = [
        ResponseStart(),
        BlockStart(index=0, kind="text"),
        *(BlockMeta(index=0, what=what, value=value) for what, value in metas),
    ]

    assert (Text("", carrier=two, logprobs=[1, 2], citations=(Citation("url"),)),) == fold(events).choices[0].parts


# ---- frames -------------------------------------------------------------------------------------


def test_framing_counts() -> None:
    """Each event knows its frame, which knows how many events it made; all are pristine."""
    frame = Frame("toy", b"data: x\n\n")
    events = framed([ResponseStart(), BlockStart(index=0, kind="text")], frame)

    assert 2 == frame.count
    assert all(event.frame is frame and event.pristine for event in events)


def test_a_changed_event_is_not_pristine() -> None:
    """It still knows its frame; the original is as it was."""
    frame = Frame("toy", b"data: x\n\n")
    [event] = framed([BlockDelta(index=0, channel="text", fragment="a")], frame)
    changed = evolve(event, fragment="b")

    assert (frame, False, True) == (changed.frame, changed.pristine, event.pristine)


def test_frames_make_no_difference_to_equality() -> None:
    """Events are equal by what they say."""
    assert framed([ResponseEnd()], Frame("toy", b"x"))[0] == ResponseEnd()


# ---- the laws -----------------------------------------------------------------------------------

START, OPEN, CLOSE = ResponseStart(), BlockStart(index=0, kind="text"), BlockStop(index=0)
DELTA, STOP, END = BlockDelta(index=0, channel="text", fragment="a"), Stop(reason=StopReason("end")), ResponseEnd()
META, FAILED, RAW = BlockMeta(index=0, what="extra", value={}), Error(error=cut_short()), Raw(dialect="toy")


@pytest.mark.parametrize(
    "events",
    [
        [START, OPEN, DELTA, META, CLOSE, STOP, END],
        [START, STOP, END],
        [START, OPEN, DELTA, FAILED],
        [FAILED],
        [RAW, RAW, END],
        [Progress(), START, Progress(), RAW, OPEN, RAW, CLOSE, UsageUpdate(usage=Usage()), STOP, RAW, END],
        [START, OPEN, CLOSE, BlockStart(index=1, kind="text"), BlockStop(index=1), STOP, END],
        [START, OPEN, BlockStart(index=0, kind="text", choice=1), CLOSE, BlockStop(index=0, choice=1), STOP,
         Stop(reason=StopReason("end"), choice=1), END],
    ],
)  # fmt: skip
def test_what_the_laws_allow(events: list[Event]) -> None:
    """Nothing is broken."""
    laws = Invariants()

    assert [None] * len(events) == [laws.feed(event) for event in events]


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([OPEN], "BlockStart before ResponseStart"),
        ([START, START], "a second ResponseStart"),
        ([START, STOP, END, END], "ResponseEnd after the end"),
        ([START, FAILED, END], "ResponseEnd after the end"),
        ([START, STOP, END, RAW], "Raw after the end"),
        ([START, DELTA], "BlockDelta for block 0, which is not open"),
        ([START, META], "BlockMeta for block 0, which is not open"),
        ([START, CLOSE], "BlockStop for block 0, which is not open"),
        ([START, OPEN, CLOSE, DELTA], "BlockDelta for block 0, which is not open"),
        ([START, OPEN, CLOSE, CLOSE], "BlockStop for block 0, which is not open"),
        ([START, OPEN, BlockDelta(index=0, choice=1, channel="text", fragment="")], "BlockDelta for block 0, which is not open"),
        ([START, BlockStart(index=1, kind="text")], "block 1 where 0 is next"),
        ([START, OPEN, OPEN], "block 0 where 1 is next"),
        ([START, OPEN, STOP, END], "ended with open blocks [(0, 0)]"),
        ([START, OPEN, CLOSE, END], "ended without a Stop for choices [0]"),
        ([START, END], "ended without a Stop for choices [0]"),
        ([START, STOP, STOP], "a second Stop for choice 0"),
        ([END], "ended before it started"),
        ([Progress(), END], "ended before it started"),
    ],
)
def test_what_the_laws_forbid(events: list[Event], expected: str) -> None:
    """The last event breaks one, and is told in words."""
    laws = Invariants()
    told = [laws.feed(event) for event in events]

    assert [*[None] * (len(events) - 1), expected] == told


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (START, False),
        (Progress(), False),
        (UsageUpdate(usage=Usage()), False),
        (OPEN, True),
        (DELTA, True),
        (RAW, True),
        (END, True),
        (STOP, True),
    ],
)
def test_what_is_meaningful(event: Event, expected: bool) -> None:
    """A client that has seen only openings has seen nothing that another attempt could contradict."""
    assert expected == is_meaningful(event)
