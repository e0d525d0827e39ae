"""A reply that breaks the laws ends in an error, never in what looks like success."""

from __future__ import annotations

import pytest
from crossed import call_block, leg, reply, text_block
from hypothesis import given
from hypothesis import strategies as st

from llmgw.errors import UpstreamBroken
from llmgw.events import BlockStart, BlockStop, Error, Event, Invariants, ResponseEnd, ResponseStart, Stop, StopReason
from llmgw_dialects.crossing.lawful import Lawful

LAWFUL = reply(text_block(0, "hi"), call_block(1, "f", "{}"))


def led(events: list[Event]) -> list[Event]:
    """The events behind the step, which is shown what it asks to hear."""
    step = Lawful(leg())
    out: list[Event] = []
    for event in events:
        out += step.back(event) if isinstance(event, step.hears) else (event,)  # type: ignore[arg-type]  # kinds only
    return out


def test_a_lawful_reply_passes() -> None:
    """The very events."""
    assert all(made is event for made, event in zip(led(LAWFUL), LAWFUL, strict=True))


@pytest.mark.parametrize("events", [
    [ResponseStart(), *text_block(0, "a"), ResponseEnd()],
    [ResponseStart(), ResponseStart(), *text_block(0, "a")],
    [ResponseStart(), BlockStart(index=0, kind="text"), Stop(reason=StopReason("end_turn")), ResponseEnd()],
    [ResponseStart(), *text_block(0, "a"), BlockStop(index=0)],
    [ResponseStart(), *text_block(0, "a"), *text_block(0, "b")],
], ids=["no stop", "two starts", "a block that is open", "closed twice", "one index twice"])  # fmt: skip
def test_what_breaks_a_law_is_an_error(events: list[Event], caplog: pytest.LogCaptureFixture) -> None:
    """The error says that the provider's answer is to blame, and the log which law."""
    out = led(events)
    (error,) = (event for event in out if isinstance(event, Error))
    assert isinstance(error.error, UpstreamBroken) and not any(
        isinstance(event, Stop | ResponseEnd) for event in out[out.index(error) :]
    )
    assert "cannot be understood" in str(error.error) and "breaks a law" in caplog.text


@given(st.permutations(LAWFUL), st.integers(0, len(LAWFUL)))
def test_whatever_comes_nothing_unlawful_looks_like_success(events: list[Event], most: int) -> None:
    """Where a law is broken at a beginning or an end, the client gets an error and no end."""
    out = led(events[:most])
    laws = Invariants()
    broken = any(laws.feed(event) for event in events[:most] if isinstance(event, Lawful(leg()).hears))  # type: ignore[arg-type]
    assert broken == any(isinstance(event, Error) for event in out)
    assert not broken or not any(isinstance(event, ResponseEnd) for event in out[[type(e) for e in out].index(Error) :])
