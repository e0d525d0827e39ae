from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from functools import partial
from typing import Any

import pytest
from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st

from llmgw import Exchange, Gateway, GatewayError, Resting, Unsupported, UpstreamError
from llmgw.errors import Kind
from llmgw.events import Error
from llmgw.pipeline import answer
from llmgw.route import next_step, resolve
from llmgw.state import MemoryStore
from llmgw_circuit_breaker import CircuitBreaker
from llmgw_circuit_breaker.breaking import Breaker, Limits, Names
from llmgw_routes.rests import Rests
from llmgw_testing import FakeClock, Provider, run_gateway, whole
from tests.toys import Player, Step, Toybox, default_set, exchange, opening, reply, request, serving

ALONE = dict.fromkeys({"auth-key", "key-rotation", "circuit-breaker"}.intersection(default_set()), False)
"""Nothing else stands before a target."""
GOOD: Sequence[Step] = reply("Hello")


def bad(kind: Kind = "overloaded") -> Sequence[Step]:
    """The provider fails at once."""
    return [UpstreamError("No.", kind=kind)]


def broken(kind: Kind = "upstream_error") -> Sequence[Step]:
    """The reply begins, and breaks off."""
    return [*opening("Hel"), Error(error=UpstreamError("No.", kind=kind))]


@define(eq=False)
class Counting(MemoryStore):
    """Counts its calls."""

    reads: int = 0
    writes: int = 0
    meanwhile: Callable[[], Awaitable[None]] | None = None
    """What another worker does just before a seat is taken."""

    async def get_many(self, keys: Sequence[str]) -> list[str | None]:
        self.reads += 1
        return await super().get_many(keys)

    async def get(self, key: str) -> str | None:
        self.reads += 1
        return await super().get(key)

    async def set(self, key: str, value: str, ttl: float | None = None) -> None:
        self.writes += 1
        await super().set(key, value, ttl)

    async def add(self, key: str, amount: float, ttl: float | None = None) -> float:
        self.writes += 1
        return await super().add(key, amount, ttl)

    async def delete(self, key: str) -> None:
        self.writes += 1
        await super().delete(key)

    async def seat(self, key: str, who: str, limit: int, ttl: float) -> bool:
        self.writes += 1
        if self.meanwhile is not None:
            await self.meanwhile()
        return await super().seat(key, who, limit, ttl)


@define(eq=False)
class Bench:
    """Workers that share a state and a clock, and a provider."""

    toybox: Toybox
    backend: Player = field(factory=Player)
    clock: FakeClock = field(factory=FakeClock)
    options: dict[str, Any] = field(factory=dict)
    workers: list[Gateway] = field(factory=list)
    store: Counting = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.store = Counting(self.clock.clock.monotonic)

    def worker(self, number: int = 0) -> Gateway:
        """One of them."""
        while len(self.workers) <= number:
            plugins = [{"circuit-breaker": self.options}]
            made = self.toybox.gateway(serving(self.backend), clock=self.clock.clock, routes=plugins, defaults=ALONE)
            self.workers.append(made)
            self.workers[-1].state = self.store
        return self.workers[number]

    def plays(self, *script: Step) -> None:
        """From now on."""
        self.backend.scripts.clear()
        self.backend.scripts.append(script)

    async def ask(self, worker: int = 0, model: str = "m", script: Sequence[Step] | None = None) -> GatewayError | None:
        """One exchange from its beginning to its end; with what it failed."""
        if script is not None:
            self.plays(*script)
        one = exchange(self.worker(worker))
        error: GatewayError | None = None
        try:
            async with aclosing(await answer(one, request(model=f"toy:{model}"))) as events:
                async for event in events:
                    error = event.error if isinstance(event, Error) else error
        except GatewayError as raised:
            error = raised
        await over(one, error)
        return error

    async def fail(self, times: int = 5, kind: Kind = "overloaded") -> None:
        """So often."""
        for _ in range(times):
            await self.ask(script=bad(kind))

    @property
    def asked(self) -> int:
        """How often the provider was asked since the last time; nothing is asked more than once."""
        number = len(self.backend.asked)
        self.backend.asked.clear()
        return number

    async def rows(self, worker: int = 0) -> list[Any]:
        """What the status says."""
        return [row for report in await self.worker(worker).reports() if report.title == "circuits" for row in report.rows]


async def over(one: Exchange, error: BaseException | None) -> None:
    """An exchange ends, as the server ends it."""
    if isinstance(error, GatewayError) and one.committed and one.attempt is not None:
        one.attempt.failure = error
    for ending in reversed(one.endings):
        await ending(error)


@pytest.fixture
def bench(toybox: Toybox) -> Bench:
    """Workers of one deployment."""
    return Bench(toybox)


# ---- it opens -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["overloaded", "upstream_error", "timeout"])
async def test_it_opens_after_failures_in_a_row(bench: Bench, kind: Kind) -> None:
    """The provider is then not asked, and the client hears when to ask again."""
    await bench.fail(5, kind)
    assert 5 == bench.asked
    error = await bench.ask()
    assert 0 == bench.asked
    assert isinstance(error, Resting)
    assert (503, "overloaded") == (error.status, error.kind)
    assert error.retry_after is not None and 12 <= error.retry_after <= 15
    assert f"'toy:m' keeps failing ({kind}), so it is left alone. Ask again in {error.retry_after:.0f} s." == error.message


async def test_workers_count_together(bench: Bench) -> None:
    """And leave it alone together."""
    for number in range(5):
        await bench.ask(number % 3, script=bad())
    assert 5 == bench.asked
    assert isinstance(await bench.ask(3), Resting)


async def test_a_success_between_them(bench: Bench) -> None:
    """Then they are no row."""
    await bench.fail(4)
    await bench.ask(1, script=GOOD)
    await bench.fail(4)
    assert None is await bench.ask(script=GOOD)


async def test_failures_far_apart(bench: Bench) -> None:
    """They do not add up."""
    for _ in range(10):
        await bench.fail(1)
        bench.clock.now += 20
    assert 10 == bench.asked


@pytest.mark.parametrize("kind", ["rate_limited", "billing", "authentication", "permission", "context_length", "model_not_found"])
async def test_what_is_not_the_providers_fault(bench: Bench, kind: Kind) -> None:
    """It shows that the provider answers."""
    await bench.fail(10, kind)
    assert 10 == bench.asked


async def test_what_is_the_clients_fault(bench: Bench) -> None:
    """Nobody can make it open for others."""
    for _ in range(10):
        await bench.ask(script=[Unsupported("No.")])
    assert 10 == bench.asked


async def test_another_model(bench: Bench) -> None:
    """Each has a breaker of its own."""
    await bench.fail()
    assert None is await bench.ask(model="other", script=GOOD)


async def test_replies_that_break_off(bench: Bench) -> None:
    """A provider whose replies begin well and never end is left alone, too."""
    for _ in range(5):
        await bench.ask(script=broken())
    assert 5 == bench.asked
    assert isinstance(await bench.ask(), Resting)


async def test_replies_that_break_off_now_and_then(bench: Bench) -> None:
    """One that came to its end between them clears the account."""
    for _ in range(3):
        for _ in range(4):
            await bench.ask(script=broken())
        assert None is await bench.ask(script=GOOD)


async def test_a_client_that_leaves(bench: Bench) -> None:
    """It says nothing of the provider."""
    bench.plays(asyncio.Event())
    for _ in range(10):
        task = asyncio.ensure_future(bench.ask())
        await asyncio.sleep(0.001)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert 10 == bench.asked
    assert None is await bench.ask(script=GOOD)


# ---- it tries -----------------------------------------------------------------------------------


async def test_one_probe_at_a_time(bench: Bench) -> None:
    """When the rest is over, one request of all workers is let through; the others are told to come back soon."""
    await bench.fail()
    bench.clock.now += 15
    bench.backend.asked.clear()
    go = asyncio.Event()
    bench.plays(go, *GOOD)
    probe = asyncio.ensure_future(bench.ask())
    await asyncio.sleep(0.001)
    others = [await bench.ask(number % 3) for number in range(6)]
    assert 1 == bench.asked
    assert [1] * 6 == [error and error.retry_after for error in others]
    assert "'toy:m' is being tried by another request, so it is left alone. Ask again in 1 s." == str(others[0])
    go.set()
    assert None is await probe
    assert None is await bench.ask(1)


async def test_a_probe_that_fails(bench: Bench) -> None:
    """It opens for longer, up to the longest."""
    await bench.fail()
    rests = []
    for _ in range(7):
        error = await bench.ask()
        assert isinstance(error, Resting) and error.retry_after is not None
        rests.append(error.retry_after)
        bench.clock.now += error.retry_after
        assert not isinstance(await bench.ask(script=bad()), Resting)
    for rest, most in zip(rests, [15, 30, 60, 120, 240, 300, 300], strict=True):
        assert 0.8 * most - 0.01 <= rest <= most + 0.01


async def test_a_probe_that_succeeds(bench: Bench) -> None:
    """All is forgotten: it takes as many failures as before."""
    await bench.fail()
    bench.clock.now += 15
    assert None is await bench.ask(1, script=GOOD)
    bench.backend.asked.clear()
    await bench.fail(4)
    assert 4 == bench.asked
    assert None is await bench.ask(script=GOOD)


@pytest.mark.parametrize("kind", ["rate_limited", "authentication", "context_length"])
async def test_a_probe_that_tells_nothing(bench: Bench, kind: Kind) -> None:
    """The next request is the next probe."""
    await bench.fail()
    bench.clock.now += 15
    for _ in range(3):
        assert kind == getattr(await bench.ask(script=bad(kind)), "kind", None)
    assert None is await bench.ask(script=GOOD)


async def test_a_probe_whose_client_leaves(bench: Bench) -> None:
    """The next request is the next probe."""
    await bench.fail()
    bench.clock.now += 15
    bench.plays(asyncio.Event())
    probe = asyncio.ensure_future(bench.ask())
    await asyncio.sleep(0.001)
    probe.cancel()
    await asyncio.gather(probe, return_exceptions=True)
    assert None is await bench.ask(1, script=GOOD)


async def test_a_probe_whose_worker_dies(bench: Bench) -> None:
    """Its seat is free again after a while."""
    await bench.fail()
    bench.clock.now += 15
    assert await bench.store.seat(Names("toy:m").probe, "dead", 1, 120)
    assert isinstance(await bench.ask(script=GOOD), Resting)
    bench.clock.now += 120
    assert None is await bench.ask()


async def test_who_was_on_its_way_before(bench: Bench) -> None:
    """Failures of requests that were let through earlier do not make it rest for longer."""
    go = asyncio.Event()
    bench.plays(go, *bad())
    late = [asyncio.ensure_future(bench.ask()) for _ in range(20)]
    await asyncio.sleep(0.01)
    await bench.fail()
    go.set()
    await asyncio.gather(*late)
    error = await bench.ask()
    assert error is not None and error.retry_after is not None and error.retry_after <= 15


async def test_a_probe_that_comes_too_late(bench: Bench) -> None:
    """Who takes the seat right after another's failure sees that it is open again."""
    await bench.fail()
    bench.clock.now += 15
    breaker = Breaker(bench.store, Rests(bench.store, bench.clock.clock), Limits(5, 60, 15, 300), CircuitBreaker()._random)
    bench.store.meanwhile = partial(breaker.open, Names("toy:m"), "overloaded")
    bench.backend.asked.clear()
    assert isinstance(await bench.ask(script=GOOD), Resting)
    assert 0 == bench.asked
    bench.store.meanwhile = None
    bench.clock.now += 30
    assert None is await bench.ask()


async def test_a_probe_that_is_not_needed(bench: Bench) -> None:
    """Who takes the seat right after another's success goes through, and gives the seat back."""
    await bench.fail()
    bench.clock.now += 15
    bench.store.meanwhile = partial(bench.store.delete, Names("toy:m").rest)
    assert None is await bench.ask(script=GOOD)
    assert await bench.store.seat(Names("toy:m").probe, "next", 1, 1)


# ---- what it costs ------------------------------------------------------------------------------


async def test_in_normal_operation(bench: Bench) -> None:
    """One look for each exchange, and nothing is written."""
    for _ in range(3):
        await bench.ask(script=GOOD)
    assert (3, 0) == (bench.store.reads, bench.store.writes)


# ---- what is told -------------------------------------------------------------------------------


async def test_status(bench: Bench) -> None:
    """Of each target that is not plainly closed: its state, its failures, until when."""
    await bench.ask(model="good", script=GOOD)
    await bench.ask(model="shaky", script=bad())
    await bench.fail()
    [shaky, bad_one] = await bench.rows()
    assert {"target": "toy:shaky", "state": "closed", "failures": 1, "until": None} == shaky
    assert ("toy:m", "open", 5, True) == (bad_one["target"], bad_one["state"], bad_one["failures"], bad_one["until"] is not None)
    bench.clock.now += 15
    assert "half-open" == (await bench.rows())[1]["state"]
    await bench.ask(script=GOOD)
    assert ["toy:shaky"] == [row["target"] for row in await bench.rows()]


async def test_what_is_told_of_is_bounded(bench: Bench) -> None:
    """SECURITY: names that clients make up do not fill the memory."""
    bench.options = {"failures": 1}
    for number in range(210):
        await bench.ask(model=f"m{number}", script=bad())
    assert 200 == len(await bench.rows())


# ---- laws ---------------------------------------------------------------------------------------

_lent: list[Bench] = []


@pytest.fixture(autouse=True)
def lent(bench: Bench) -> None:
    """Workers for all examples of a test."""
    _lent[:] = [bench]


OUTCOMES = st.sampled_from([bad(), bad(), bad("timeout"), bad("rate_limited"), broken(), GOOD])


@given(st.lists(st.tuples(st.integers(0, 2), st.sampled_from([0.0, 0.0, 0.1, 3.0, 14.0, 61.0, 301.0]), OUTCOMES), max_size=40))
async def test_an_open_one_lets_nothing_through(steps: list[tuple[int, float, Sequence[Step]]]) -> None:
    """Whatever happens when at which worker; and it is tried again as soon as its rest is over."""
    bench = _lent[0]
    bench.clock.now += 1e7
    until = 0.0
    for worker, passed, script in steps:
        bench.clock.now += passed
        bench.backend.asked.clear()
        is_open = bench.clock.now < until
        error = await bench.ask(worker, script=script)
        assert (0 if is_open else 1) == bench.asked
        assert is_open == isinstance(error, Resting)
        text = await bench.store.get(Names("toy:m").rest)
        end = float(text.split()[0]) - 1_700_000_000 if text is not None else 0.0
        assert end >= until or not (is_open or isinstance(script[0], UpstreamError))
        assert end <= bench.clock.now + 300 + 1e-3
        until = end


@given(st.lists(st.booleans(), max_size=30))
async def test_it_opens_exactly_then(outcomes: list[bool]) -> None:
    """At the fifth failure in a row, and not before."""
    bench = _lent[0]
    bench.clock.now += 1e7
    row = 0
    for good in outcomes:
        error = await bench.ask(script=GOOD if good else bad())
        assert (row >= 5) == isinstance(error, Resting)
        row = row if row >= 5 else 0 if good else row + 1


@given(st.integers(1, 30))
async def test_many_at_once_are_one_probe(number: int) -> None:
    """However many ask at the very moment at which its rest is over."""
    bench = _lent[0]
    bench.clock.now += 1e7
    await bench.fail()
    bench.clock.now += 15
    bench.backend.asked.clear()
    go = asyncio.Event()
    bench.plays(go, *bad())
    asking = [asyncio.ensure_future(bench.ask(one % 3)) for one in range(number)]
    await asyncio.sleep(0.001)
    go.set()
    errors = await asyncio.gather(*asking)
    assert 1 == bench.asked
    assert 1 == sum(not isinstance(error, Resting) for error in errors)


# ---- with others --------------------------------------------------------------------------------


async def test_a_look_at_the_route_is_no_probe(bench: Bench) -> None:
    """Whoever only wants to know where a request would go gives the seat back."""
    await bench.fail()
    bench.clock.now += 15
    async with aclosing(resolve(exchange(bench.worker()), request(model="toy:m"))) as route:
        assert None is not await next_step(route, None)
    assert None is await bench.ask(script=GOOD)


CHAT = {"model": "openai:m", "messages": [{"role": "user", "content": "Hi"}]}


async def test_over_real_sockets(provider: Provider) -> None:
    """A client of a provider that is down hears it at once, with the time to wait."""
    provider.answers(whole({"error": {"message": "Overloaded"}}, 503))
    clock = FakeClock()
    config = {
        "backends": {"openai": {"base_url": provider.base_url}},
        "routes": [{"circuit-breaker": {"failures": 2}}],
        "defaults": ALONE,
    }
    async with run_gateway(config, {"OPENAI_API_KEY": "sk-one"}, clock.clock) as running:
        for _ in range(2):
            assert 503 == (await running.post(CHAT))[0]
        asked = len(provider.seen)
        async with running.http.post(running.url + "/v1/chat/completions", json=CHAT) as response:
            assert 503 == response.status
            assert 12 <= int(response.headers["retry-after"]) <= 15
        assert asked == len(provider.seen)
