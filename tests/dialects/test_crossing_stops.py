"""Stop sequences that the gateway looks for: the cut is exact, however the text comes."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from steps import stepped

from llmgw.errors import UpstreamBroken
from llmgw.events import (
    BlockDelta,
    BlockMeta,
    BlockStart,
    BlockStop,
    Error,
    Event,
    Invariants,
    ResponseEnd,
    ResponseStart,
    Stop,
    StopReason,
    Usage,
    UsageUpdate,
    fold,
)
from llmgw.model import Prompt, Sampling, Text
from llmgw_dialects.crossing.stops import Scanner, Stops

PIECES = st.text("ab<|>", max_size=30)
SEQUENCES = st.lists(st.text("ab<|>", min_size=1, max_size=4), min_size=1, max_size=3, unique=True)


def stops(*sequences: str, way: str = "CS", n: int | None = None, **changes: Any) -> Any:
    return stepped(Stops, way, Prompt(sampling=Sampling(stop=sequences, n=n)), **changes)


def delta(fragment: str, index: int = 0, **rest: Any) -> Event:
    return BlockDelta(index=index, channel="text", fragment=fragment, **rest)


def reply(*fragments: str) -> list[Event]:
    block = [BlockStart(index=0, kind="text"), *map(delta, fragments), BlockStop(index=0)]
    return [ResponseStart(), *block, Stop(reason=StopReason("end")), ResponseEnd(usage=Usage(output_total=9))]


def lawful(events: list[Event]) -> list[Event]:
    laws = Invariants()
    assert [] == [broken for event in events if (broken := laws.feed(event))]
    return events


def shown(events: list[Event]) -> str:
    return "".join(event.fragment for event in events if isinstance(event, BlockDelta))


@given(text=PIECES, sequences=SEQUENCES, cuts=st.lists(st.integers(0, 30), max_size=8))
def test_any_cut_gives_the_same(text: str, sequences: list[str], cuts: list[int]) -> None:
    """Wherever the pieces are cut, the text ends where the first sequence to be complete begins."""
    edges = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    events = lawful(stops(*sequences).back(reply(*(text[a:b] for a, b in pairwise(edges)))))
    found = [(text.find(one) + len(one), text.find(one), one) for one in sequences if one in text]
    stop = fold(events).choices[0].stop
    if found:
        _, at, sequence = min(found)
        assert text[:at] == shown(events) and StopReason("stop_sequence", sequence=sequence) == stop
    else:
        assert text == shown(events) and StopReason("end") == stop


@given(text=PIECES, sequence=st.text("ab<|>", min_size=1, max_size=5))
def test_one_sequence_is_found_as_in_the_whole(text: str, sequence: str) -> None:
    """With one sequence, character by character, the cut is where ``str.find`` puts it."""
    cut = text.find(sequence)
    assert (text if cut < 0 else text[:cut]) == shown(stops(sequence).back(reply(*text)))


@given(text=PIECES, sequences=SEQUENCES)
def test_little_is_held_back(text: str, sequences: list[str]) -> None:
    """No more than the longest sequence less one character waits, and only what may be the beginning of one."""
    scanner, out = Scanner(sequences), ""
    for at, letter in enumerate(text):
        more, found = scanner.feed(letter)
        out += more
        if found is not None:
            return
        assert text[: at + 1] == out + scanner.held
        assert len(scanner.held) < max(map(len, sequences))
        assert not scanner.held or any(one.startswith(scanner.held) for one in sequences)


@pytest.mark.parametrize(("way", "changes", "given", "sent", "scanned"), [
    ("CS", {}, ("a", "b"), (), ("a", "b")), ("AC", {}, tuple("abcdef"), tuple("abcd"), ("e", "f")),
    ("CA", {}, ("\n", "x", " "), ("x",), ("\n", " ")), ("AG", {}, tuple("abcdef"), tuple("abcde"), ("f",)),
    ("AC", {"model": "o3"}, ("a",), (), ("a",)), ("AC", {}, ("a", "", "a"), ("a",), ()), ("CA", {}, ("x",), ("x",), ()),
    ("AC", {"sampling": frozenset({"max_output"})}, ("a",), (), ("a",)),
])  # fmt: skip
def test_who_looks_for_what(
    way: str, changes: Any, given: tuple[str, ...], sent: tuple[str, ...], scanned: tuple[str, ...]
) -> None:
    """The provider gets what it takes, the gateway looks for the rest; that is an emulation."""
    made = stops(*given, way=way, **changes)
    assert sent == made.prompt.sampling.stop
    assert ([("stop", "emulated")] if scanned else []) == made.lost
    for one in scanned:
        assert "" == shown(stops(*given, way=way, **changes).back(reply(one, "more")))
    assert [StopReason("end")] == [event.reason for event in made.back(reply("zzz")) if isinstance(event, Stop)]


def test_nothing_to_look_for_changes_nothing() -> None:
    """Without such a sequence the very events come back."""
    events = reply("a", "b")
    assert all(new is old for new, old in zip(stops("x", way="CA").back(events), events, strict=True))


def test_untouched_events_stay_themselves() -> None:
    """What cannot be the beginning of a sequence goes out as it came."""
    event = delta("zzz")
    assert [event] == [one for one in stops("ab").back([BlockStart(index=0, kind="text"), event]) if one is event]


def test_a_cut_ends_the_reply() -> None:
    """Blocks are closed, the sequence is named, the end comes at once, and nothing of what follows is seen; usage known stays."""
    used = UsageUpdate(usage=Usage(input_total=3))
    events = [ResponseStart(), used, BlockStart(index=0, kind="text"), delta("one ST"), delta("OP two"), delta("three")]
    made = lawful(stops("STOP").back([*events, *reply()[3:]]))
    assert [
        ResponseStart(), used, BlockStart(index=0, kind="text"), delta("one "), BlockStop(index=0),
        Stop(reason=StopReason("stop_sequence", sequence="STOP")), ResponseEnd(),
    ] == made  # fmt: skip
    assert Usage(input_total=3) == fold(made).usage


def test_thoughts_and_arguments_are_not_looked_into() -> None:
    """Only what is said to the client counts."""
    events = [
        ResponseStart(), BlockStart(index=0, kind="reasoning"), BlockDelta(index=0, channel="reasoning_raw", fragment="STOP"),
        BlockStop(index=0), BlockStart(index=1, kind="tool_call", meta={"call_id": "c", "name": "f"}),
        BlockDelta(index=1, channel="args", fragment='"STOP"'), BlockStop(index=1), Stop(reason=StopReason("tool_use")),
        ResponseEnd(),
    ]  # fmt: skip
    assert events == stops("STOP").back(events)


def test_what_was_held_back_comes_with_the_end_of_its_block() -> None:
    """The beginning of a sequence that does not come is text."""
    made = stops("STOP").back([BlockStart(index=0, kind="text"), delta("a ST"), BlockMeta(index=0, what="extra", value={})])
    assert "a " == shown(made) and isinstance(made[-1], BlockMeta)
    assert "a ST" == shown(lawful(stops("STOP").back(reply("a ST"))))
    broken = Error(error=UpstreamBroken("gone"))
    made = stops("STOP").back([ResponseStart(), BlockStart(index=0, kind="text"), delta("a ST"), broken])
    assert "a ST" == shown(made) and broken is made[-1]


def test_a_sequence_does_not_reach_over_blocks() -> None:
    """Two texts with something between them are two texts."""
    blocks = [BlockStart(index=0, kind="text"), delta("ST"), BlockStop(index=0), BlockStart(index=1, kind="text"), delta("OP", 1)]
    made = stops("STOP").back([ResponseStart(), *blocks, BlockStop(index=1), Stop(reason=StopReason("end")), ResponseEnd()])
    assert (Text("ST"), Text("OP")) == fold(lawful(made)).choices[0].parts


def test_open_blocks_are_closed() -> None:
    """A cut in one block closes those beside it, with what they held back."""
    blocks = [BlockStart(index=0, kind="text"), BlockStart(index=1, kind="text"), delta("x ST", 0), delta("y STOP", 1)]
    made = lawful(stops("STOP").back([ResponseStart(), *blocks]))
    assert (Text("x ST"), Text("y ")) == fold(made).choices[0].parts


def test_each_answer_ends_for_itself() -> None:
    """Of several answers the others go on; the reply ends with the last."""
    made = stops("STOP", way="AC", n=2, model="o3")
    starts = [BlockStart(index=0, kind="text", choice=number) for number in (0, 1)]
    first = made.back([ResponseStart(), *starts, delta("a STOP b"), delta("c", choice=1), delta("d")])
    assert "a c" == shown(first) and not any(isinstance(event, ResponseEnd) for event in first)
    second = made.back([delta("e STOP", choice=1), delta("f", choice=1), ResponseEnd()])
    assert "e " == shown(second) and [ResponseEnd()] == [event for event in second if isinstance(event, ResponseEnd)]
    lawful([*first, *second])
