from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

import pytest
from attrs import define

from llmgw.errors import UpstreamTimeout
from llmgw.events import BlockDelta, Error, Event, Events, Reply, ResponseEnd, ResponseStart
from llmgw.stages import Filter, Target
from llmgw_testing import check_backend, check_filter
from tests.toys import Player, Tagging, Toybox, canned, exchange, opening, reply, request

TARGET = Target("toy", "m")


async def checked(toybox: Toybox, script: list[Any]) -> Reply:
    """A back-end that plays this, checked."""
    return await check_backend(Player.of(script), exchange(toybox.gateway()), TARGET, request())


async def test_a_good_back_end(toybox: Toybox) -> None:
    """The check gives what its events fold into."""
    assert canned("Hello") == await checked(toybox, reply("Hello"))


async def test_one_that_ends_in_an_error_is_good_as_well(toybox: Toybox) -> None:
    """Attempts may fail, by an event or an exception."""
    assert Reply() == await checked(toybox, [ResponseStart(), Error(error=UpstreamTimeout("slow"))])
    with pytest.raises(UpstreamTimeout):
        await checked(toybox, [UpstreamTimeout("slow")])


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ([], "toy gave no events"),
        (opening("Hello"), "toy ended without its end event"),
        ([*reply("Hello"), ResponseEnd()], "toy, event 6: ResponseEnd after the end"),
        ([ResponseEnd()], "toy, event 0: ended before it started"),
    ],
)
async def test_a_bad_back_end(toybox: Toybox, script: list[Any], words: str) -> None:
    """The check names the event and the law."""
    with pytest.raises(AssertionError, match=words):
        await checked(toybox, script)


async def test_a_good_filter() -> None:
    """The check gives what comes out of it."""
    assert canned("Hello!") == await check_filter(Tagging("!"), reply("Hello"))
    assert canned("Hello") == await check_filter(Filter(), reply("Hello"))


@define(eq=False)
class Doubling(Filter):
    """Says the start of each block twice, which no filter may."""

    async def events(self, events: Events) -> AsyncGenerator[Event, None]:
        async for event in events:
            yield event
            if not isinstance(event, BlockDelta):
                yield event


async def test_a_bad_filter() -> None:
    """It is named, with the event and the law."""
    with pytest.raises(AssertionError, match="Doubling, event 1: a second ResponseStart"):
        await check_filter(Doubling(), reply("Hello"))


async def test_bad_events_to_check_with() -> None:
    """What a filter is given has to keep the laws, or its check would say nothing."""
    with pytest.raises(AssertionError, match="the events given ended without"):
        await check_filter(Filter(), opening("Hello"))


async def test_a_filter_is_closed() -> None:
    """Also when its check fails."""
    log: list[str] = []
    with pytest.raises(AssertionError):
        await check_filter(Tagging("a", log), [])
    await check_filter(Tagging("a", log), reply("Hello"))

    assert ["<a"] == log
