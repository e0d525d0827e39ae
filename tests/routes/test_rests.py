from __future__ import annotations

import random
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmgw.errors import Kind
from llmgw.state import MemoryStore
from llmgw_routes.rests import LONGEST, Rest, Rests, digest, growing, short
from llmgw_testing import FakeClock

KINDS = st.sampled_from(get_args(Kind))
TIMES = st.floats(0, 1e10, allow_nan=False)


def rests(clock: FakeClock) -> Rests:
    """Marks in a store of their own."""
    return Rests(MemoryStore(clock.clock.monotonic), clock.clock)


# ---- what is kept -------------------------------------------------------------------------------


@given(TIMES, KINDS, st.integers(1, 10**6))
def test_a_mark_is_read_as_it_was_written(until: float, kind: Kind, times: int) -> None:
    """Nothing of it is lost in the state."""
    mark = Rest(until, kind, times)
    assert mark == Rest.of_text(mark.text)


@pytest.mark.parametrize("text", [None, "", "soon", "1 rate_limited", "x rate_limited 1", "1 tired 1", "1 timeout x", "1 2 3 4"])
def test_what_is_no_mark(text: str | None) -> None:
    """A shared store may hold anything; then nothing rests."""
    assert None is Rest.of_text(text)


# ---- laws ---------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0, 1000), KINDS), min_size=1))
async def test_a_mark_never_shortens(steps: list[tuple[float, float, Kind]]) -> None:
    """Whatever is marked when: the end of a rest never comes nearer."""
    clock, end = FakeClock(), 0.0
    marks = rests(clock)
    for passed, seconds, kind in steps:
        clock.now += passed
        rest = await marks.rest("k", kind, seconds)
        assert rest.until >= max(end, clock.clock.time() + seconds)
        end = rest.until
        assert [rest] == await marks.look(["k"])


async def test_a_rest_ends() -> None:
    """When its time is over."""
    clock = FakeClock()
    marks = rests(clock)
    await marks.rest("k", "overloaded", 10)
    [rest] = await marks.look(["k"])
    assert 10 == marks.left(rest)
    clock.now += 10
    assert 0 == marks.left(rest)


async def test_failures_of_the_same_time_are_one() -> None:
    """Ten requests on their way together do not make the pause a thousand times as long."""
    marks = rests(FakeClock())
    seen: list[int] = []
    for _ in range(10):
        await marks.rest("k", "rate_limited", lambda times: seen.append(times) or 5.0)
    assert [1] * 10 == seen


async def test_failures_one_after_the_other_are_counted() -> None:
    """A failure soon after a rest is another in a row; long after, it is a first one."""
    clock = FakeClock()
    marks = rests(clock)
    times = []
    for pause in (0.0, 6.0, 6.0, 5 + marks.memory):
        clock.now += pause
        times.append((await marks.rest("k", "rate_limited", 5.0)).times)
    assert [1, 2, 3, 1] == times


async def test_nothing_rests_for_ever() -> None:
    """Whatever a provider says."""
    marks = rests(FakeClock())
    assert LONGEST == marks.left(await marks.rest("k", "billing", 1e12))


@given(st.integers(1, 10**6), st.integers())
def test_pauses_grow(times: int, seed: int) -> None:
    """Twice as long each time, never longer than the longest, and never all of the same length."""
    pause = growing(times, 1.0, 60.0, random.Random(seed))
    most = min(60.0, 2.0 ** min(times - 1, 10))
    assert 0.8 * most <= pause <= most


# ---- names --------------------------------------------------------------------------------------


@given(st.text())
def test_a_name_is_bounded(name: str) -> None:
    """However long a name a client makes up."""
    assert len(short(name)) <= 133


def test_long_names_differ() -> None:
    """Also where they begin alike."""
    assert short("x" * 200) != short("x" * 201)


def test_a_digest_takes_all_text() -> None:
    """Half a character too, as JSON may have it."""
    assert 32 == len(digest("\ud800"))
