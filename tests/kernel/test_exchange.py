from __future__ import annotations

import asyncio

import pytest

from llmgw.errors import Deadline, UpstreamTimeout
from llmgw.stages import Target
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
