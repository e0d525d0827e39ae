from __future__ import annotations

import asyncio

import pytest

from llmgw.errors import Deadline, UpstreamTimeout
from llmgw.model import Loss
from llmgw.stages import Target
from llmgw_testing import FakeClock
from tests.toys import TOY, Player, Toybox, exchange, serving, turns


async def test_ids_differ(toybox: Toybox) -> None:
    """No two exchanges have the same."""
    gateway = toybox.gateway()

    assert 100 == len({exchange(gateway).id for _ in range(100)})


async def test_the_back_end_of_a_target(toybox: Toybox) -> None:
    """The one of that id, or None."""
    player = Player()
    one = exchange(toybox.gateway(serving(player)))

    assert player is one.backend(Target("toy", "m"))
    assert one.backend(Target("nowhere", "m")) is None


async def test_frames_are_relayed_in_one_dialect_where_nobody_looks(toybox: Toybox) -> None:
    """Somebody who looks, or another dialect, has them read."""
    one = exchange(toybox.gateway())
    assert one.relays(TOY)

    one.reads_events = True
    assert not one.relays(TOY)


@pytest.mark.parametrize(("error", "taken"), [(UpstreamTimeout("slow"), True), (Deadline("late"), False)])
async def test_only_the_providers_silence_is_the_providers(
    toybox: Toybox, error: UpstreamTimeout | Deadline, taken: bool
) -> None:
    """What waits for the provider takes its silence, which another target may cure, and leaves all else to who serves."""
    one = exchange(toybox.gateway())
    one.interrupt(error)
    with pytest.raises(asyncio.CancelledError):
        await turns()

    assert (error if taken else None) is one.interruption(of="provider")
    assert (None if taken else error) is one.interruption(of="all")
    assert one.interruption(of="all") is None


async def test_an_interruption_is_taken_back(toybox: Toybox) -> None:
    """The task is not cancelled for good: it can still tell the client."""
    one = exchange(toybox.gateway())
    one.interrupt(Deadline("late"))
    with pytest.raises(asyncio.CancelledError):
        await turns()
    one.interruption(of="all")
    task = asyncio.current_task()

    assert task is not None and 0 == task.cancelling()
    await turns()


async def test_the_first_interruption_counts(toybox: Toybox) -> None:
    """A second one does not cancel again."""
    one, first = exchange(toybox.gateway()), Deadline("first")
    one.interrupt(first)
    one.interrupt(Deadline("second"))
    with pytest.raises(asyncio.CancelledError):
        await turns()
    await turns()

    assert first is one.interruption(of="all")


async def test_what_others_do_is_no_interruption(toybox: Toybox) -> None:
    """A client that leaves cancels without a reason."""
    assert exchange(toybox.gateway()).interruption(of="all") is None


async def test_nothing_that_tells_too_much_stands_in_a_repr(toybox: Toybox) -> None:
    """Headers and notes are not shown."""
    one = exchange(toybox.gateway(), notes={"plugin.word": "secret"}, reply_headers={"x": "secret"})

    assert "secret" not in repr(one)


# ---- attempts -----------------------------------------------------------------------------------


def lost(word: str) -> Loss:
    """Something that did not come across."""
    return Loss(word, word, "dropped", "toy", "abroad")


async def test_an_attempt_forgets_the_one_before(toybox: Toybox) -> None:
    """What was lost before any stays; what an attempt lost, and what its provider said, goes with it."""
    one = exchange(toybox.gateway(), losses=[lost("before")])
    losses = one.losses
    for word in ("first", "second"):
        one.begin(Target("toy", word))
        assert ([lost("before")], {}) == (losses, one.reply_headers)
        one.losses.append(lost(word))
        one.reply_headers = {"x": word}

    assert losses is one.losses
    assert ["first", "second"] == [each.target.model for each in one.attempts]
    assert (Target("toy", "second"), one.attempts[-1]) == (one.target, one.attempt)


@pytest.mark.parametrize(("patience", "expected"), [(None, None), (2.0, 1002.0)])
async def test_an_attempt_has_so_much_time(toybox: Toybox, patience: float | None, expected: float | None) -> None:
    """From its own beginning."""
    one = exchange(toybox.gateway(clock=FakeClock().clock), until=7.0)
    one.begin(Target("toy", "m", patience=patience))

    assert expected == one.until


async def test_lanes_share_the_account(toybox: Toybox) -> None:
    """And have attempts, losses and headers of the provider of their own."""
    one = exchange(toybox.gateway(), losses=[lost("before")], asked="a!b", notes={"toy.word": 1})
    lanes = [one.lane(), one.lane()]
    for lane, word in zip(lanes, "ab", strict=True):
        lane.begin(Target(word, "m"))
        lane.losses.append(lost(word))
        lane.remark(word)
        lane.headers[f"x-{word}"] = "1"

    assert lanes == one.lanes
    assert [one.id, one.id] == [lane.id for lane in lanes]
    assert ["a", "b"] == [each.target.backend for each in one.attempts]
    assert ([lost("before")], None) == (one.losses, one.target)
    assert (["a", "b"], {"x-a": "1", "x-b": "1"}) == (one.remarks, one.headers)
    assert [("a!b", {"toy.word": 1})] * 2 == [(lane.asked, lane.notes) for lane in lanes]


async def test_the_winner_is_adopted(toybox: Toybox) -> None:
    """The exchange has its attempt, its losses and its headers, and looks after it alone."""
    one = exchange(toybox.gateway(), losses=[lost("before")])
    losses, _, lane = one.losses, one.lane(), one.lane()
    lane.begin(Target("b", "m", patience=2.0))
    lane.losses.append(lost("b"))
    lane.reply_headers = {"x": "b"}
    one.adopt(lane)

    assert (Target("b", "m"), lane.attempt, {"x": "b"}, [lane]) == (one.target, one.attempt, one.reply_headers, one.lanes)
    assert [lost("before"), lost("b")] == losses and losses is one.losses
    assert (one.task, True, None) == (lane.task, lane.committed, lane.until)
