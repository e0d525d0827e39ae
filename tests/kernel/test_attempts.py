from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from importlib.metadata import entry_points
from typing import Any

import pytest
from attrs import define, evolve, field

from llmgw import pipeline
from llmgw.errors import BadRequest, GatewayError, Misconfigured, Resting, Unsupported, UpstreamError, UpstreamTimeout
from llmgw.events import Event, ResponseStart
from llmgw.exchange import Exchange
from llmgw.gateway import Gateway
from llmgw.model import Request
from llmgw.route import next_step, resolve
from llmgw.stages import Guard, Lane, Onward, Race, Route, Target
from llmgw_testing import FakeClock, run_gateway
from tests.toys import (
    Player,
    Toybox,
    answered,
    exchange,
    opening,
    plugin,
    reply,
    request,
    routing,
    serving,
    told,
    until,
)

# ---- toys ---------------------------------------------------------------------------------------

ALONE = {one.name: False for one in entry_points(group="llmgw.defaults") if one.value in ("plugins", "filters", "routes")}
"""Switches off what is on by default and would answer for names, too."""


@define(eq=False)
class Going:
    """A route over back-ends, that notes what failed, and whether its exchange was committed when it was closed."""

    exchange: Exchange
    backends: str
    log: list[str]

    async def run(self) -> AsyncGenerator[Target | Race, GatewayError | None]:
        try:
            for name in self.backends:
                failure = yield Target(name, "m")
                self.log.append(f"{name}: {failure and failure.kind}")
        finally:
            self.log.append(f"{self.backends} closed, {'committed' if self.exchange.committed else 'not committed'}")


def racing(log: list[str], *lanes: tuple[str, float], behind: str = "") -> type:
    """A plugin whose route is a race of routes over back-ends, each with its handicap; and further back-ends behind it."""

    async def run(exchange: Exchange) -> Route:
        failure = yield Race([Lane(Going(exchange, names, log).run(), handicap) for names, handicap in lanes])
        log.append(f"race: {failure and failure.kind}")
        for name in behind:
            yield Target(name, "m")

    return routing(lambda exchange, request: run(exchange))


def fails(kind: Any = "overloaded") -> list[Any]:
    """A script that fails with this class."""
    return [UpstreamError(f"it is {kind}", kind=kind)]


def abc(*scripts: Sequence[Any]) -> list[Player]:
    """Back-ends a, b and so on, each of which plays one script."""
    return [Player.of(script, name=name) for name, script in zip("abcdefgh", scripts, strict=False)]


async def over(one: Exchange) -> str | GatewayError:
    """What the client gets: words, or an error."""
    try:
        async with aclosing(await pipeline.answer(one, request())) as events:
            return told([event async for event in events])
    except GatewayError as error:
        return error


# ---- one after the other ------------------------------------------------------------------------


def going(backends: str, log: list[str]) -> type:
    """A plugin with a route over back-ends."""
    return routing(lambda exchange, request: Going(exchange, backends, log).run())


async def test_what_a_model_cannot_do_is_told_the_route(toybox: Toybox) -> None:
    """Another may; it is a failure like others."""
    log: list[str] = []
    gateway = toybox.gateway(going("ab", log), serving(*abc([Unsupported("no")], reply("b"))), defaults=ALONE)

    assert "b" == await over(exchange(gateway))
    assert ["a: unsupported_feature", "ab closed, committed"] == log


async def test_the_clients_fault_is_not(toybox: Toybox) -> None:
    """Nothing could cure it, and the route is closed."""
    log: list[str] = []
    gateway = toybox.gateway(going("ab", log), serving(*abc([BadRequest("no")], reply("b"))), defaults=ALONE)

    assert isinstance(await over(exchange(gateway)), BadRequest)
    assert ["ab closed, not committed"] == log


async def test_an_account_is_kept(toybox: Toybox) -> None:
    """Of each attempt: where it went, when, and what became of it."""
    clock = FakeClock()
    gateway = toybox.gateway(going("abc", []), serving(*abc(fails("timeout"), reply("b"))), clock=clock.clock, defaults=ALONE)
    one = exchange(gateway)
    await over(one)

    assert [("a", "timeout", False), ("b", "ok", True)] == [
        (each.target.backend, each.outcome, each.committed) for each in one.attempts
    ]
    assert [clock.now] * 2 == [each.began for each in one.attempts]
    assert one.attempt is one.attempts[-1]


async def test_a_target_may_ask_something_else(toybox: Toybox) -> None:
    """What it is asked goes before what the route was asked for."""

    async def run(asked: Request) -> Route:
        yield Target("toy", "small", request=evolve(asked, stream=False))

    player = Player()
    await answered(toybox.gateway(routing(lambda exchange, request: run(request)), serving(player), defaults=ALONE))
    [(_, got)] = player.asked

    assert ("small", False) == (got.model, got.stream)


async def test_patience_ends_with_the_commit(toybox: Toybox) -> None:
    """Each attempt has its own, and once something came there is none."""
    untils: list[float | None] = []

    async def run() -> Route:
        yield Target("a", "m", patience=5.0)
        yield Target("b", "m")

    @define(eq=False)
    class Noting(Player):
        async def stream(self, exchange: Exchange, target: Target, request: Request) -> AsyncGenerator[Event, None]:
            untils.append(exchange.until)
            async for event in super().stream(exchange, target, request):
                yield event

    clock = FakeClock()
    a, b = Noting.of(fails(), name="a"), Noting.of(reply("b"), name="b")
    gateway = toybox.gateway(routing(lambda exchange, request: run()), serving(a, b), clock=clock.clock, defaults=ALONE)
    one = exchange(gateway)
    await over(one)

    assert ([clock.now + 5, None], None) == (untils, one.until)


async def test_who_is_told_to_end_as_its_provider_is_given_up(toybox: Toybox) -> None:
    """Ends: the client that left at that very moment is not forgotten over the provider's silence."""

    @define(eq=False)
    class Silent(Player):
        async def stream(self, exchange: Exchange, target: Target, request: Request) -> AsyncGenerator[Event, None]:
            self.asked.append((target, request))
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                raise UpstreamTimeout("silent") from None
            yield ResponseStart()

    player, log = Silent(), list[str]()
    gateway = toybox.gateway(routing(lambda exchange, request: twice(log)), serving(player), defaults=ALONE)
    task = asyncio.ensure_future(over(exchange(gateway)))
    await until(lambda: player.asked)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert (1, ["closed"]) == (len(player.asked), log)


async def twice(log: list[str]) -> Route:
    try:
        yield Target("toy", "one")
        yield Target("toy", "two")
    finally:
        log.append("closed")


# ---- several at once ----------------------------------------------------------------------------


async def test_the_routes_of_those_who_lose(toybox: Toybox) -> None:
    """Are closed before anything is committed, and the winner's behind that."""
    log: list[str] = []
    players = abc([asyncio.Event()], fails(), reply("c"), [asyncio.Event()])
    one = exchange(toybox.gateway(racing(log, ("a", 0), ("bc", 0), ("d", 9)), serving(*players), defaults=ALONE))

    assert "c" == await over(one)
    assert ["b: overloaded", "a closed, not committed", "bc closed, committed"] == log
    assert [] == players[3].asked


async def test_when_all_lanes_fail(toybox: Toybox) -> None:
    """The route hears of the last failure, and may go on."""
    log: list[str] = []
    players = abc(fails("timeout"), fails("overloaded"), reply("c"))
    one = exchange(toybox.gateway(racing(log, ("a", 0), ("b", 9), behind="c"), serving(*players), defaults=ALONE))

    assert "c" == await over(one)
    assert "race: overloaded" == log[-1]
    assert [] == one.lanes


async def test_a_race_without_lanes(toybox: Toybox) -> None:
    """Is a fault of the route, which hears of it."""
    log: list[str] = []

    assert isinstance(await over(exchange(toybox.gateway(racing(log), defaults=ALONE))), Misconfigured)
    assert ["race: gateway_config"] == log


async def test_what_only_the_winner_has(toybox: Toybox) -> None:
    """Its target, its attempt, what was lost on its way, and what its provider says; the exchange goes on with it."""

    @define(eq=False)
    class Losing(Player):
        async def stream(self, exchange: Exchange, target: Target, request: Request) -> AsyncGenerator[Event, None]:
            exchange.losses.append(self.name)  # type: ignore[arg-type]
            exchange.reply_headers = {"x-who": self.name}
            async for event in super().stream(exchange, target, request):
                yield event

    a, b = Losing.of([asyncio.Event()], name="a"), Losing.of(reply("b"), name="b")
    one = exchange(toybox.gateway(racing([], ("a", 0), ("b", 0)), serving(a, b), defaults=ALONE))
    losses = one.losses
    losses.append("before")  # type: ignore[arg-type]
    await over(one)

    assert ["before", "b"] == losses and losses is one.losses
    assert (Target("b", "m"), {"x-who": "b"}) == (one.target, one.reply_headers)
    assert one.attempt is not None and one.attempt.committed
    assert [one.task] == [lane.task for lane in one.lanes]


async def test_a_bug_closes_all(toybox: Toybox) -> None:
    """And is not hidden by a lane that might have answered."""
    players = abc([asyncio.Event()], [ZeroDivisionError()])
    with pytest.raises(ExceptionGroup):
        await over(exchange(toybox.gateway(racing([], ("a", 0), ("b", 0)), serving(*players), defaults=ALONE)))

    assert [["open", "close"]] * 2 == [player.log for player in players]


async def test_a_race_in_a_race(toybox: Toybox) -> None:
    """All are closed that do not win, however deep."""
    log: list[str] = []
    players = abc([asyncio.Event()], [asyncio.Event()], reply("c"))

    async def inner(exchange: Exchange) -> Route:
        yield Race([Lane(Going(exchange, name, log).run()) for name in "bc"])

    async def outer(exchange: Exchange) -> Route:
        yield Race([Lane(Going(exchange, "a", log).run()), Lane(inner(exchange))])

    one = exchange(toybox.gateway(routing(lambda exchange, request: outer(exchange)), serving(*players), defaults=ALONE))

    assert "c" == await over(one)
    assert [["open", "close"]] * 3 == [player.log for player in players]
    assert ["a closed, not committed", "b closed, not committed", "c closed, committed"] == sorted(log)
    assert [one.task] == [lane.task for lane in one.lanes]


# ---- guards -------------------------------------------------------------------------------------


@define(eq=False)
class Noted(Guard):
    """Notes what goes through it."""

    name: str
    log: list[str]

    def attempts(self, target: Target, onward: Onward) -> Route:
        return self._attempts(target, onward)

    async def _attempts(self, target: Target, onward: Onward) -> Route:
        self.log.append(f"{self.name}>{target.backend}")
        failure: GatewayError | None = None
        async with aclosing(onward(target)) as inner:
            while (step := await next_step(inner, failure)) is not None:
                failure = yield step
        self.log.append(f"{self.name}<{failure and failure.kind}")


def guarding(make: Callable[[Exchange], Guard | None]) -> type:
    """A plugin with this guard."""

    def open_guard(exchange: Exchange) -> Guard | None:
        return make(exchange)

    return plugin(open_guard=open_guard)


def aliasing(*models: str) -> type:
    """A plugin that knows ``both`` by other names, one after the other."""

    async def run(exchange: Exchange, request: Request) -> Route:
        failure: GatewayError | None = None
        for model in models:
            failure = None
            async with aclosing(resolve(exchange, request.with_model(model))) as inner:
                try:
                    while (step := await next_step(inner, failure)) is not None:
                        failure = yield step
                except UpstreamError:
                    continue

    return routing(lambda exchange, request: run(exchange, request) if request.model == "m" else None)


async def test_guards_are_nested_in_their_order(toybox: Toybox) -> None:
    """Each sees every target of a route, and hears what became of it."""
    log: list[str] = []
    guards = [guarding(lambda exchange: Noted("1", log)), guarding(lambda exchange: Noted("2", log))]
    gateway = toybox.gateway(aliasing("a:m", "b:m"), *guards, serving(*abc(fails(), reply("b"))), defaults=ALONE)

    assert "b" == await over(exchange(gateway))
    assert ["1>a", "2>a", "2<overloaded", "1<overloaded", "1>b", "2>b"] == log


async def test_guards_are_opened_once(toybox: Toybox) -> None:
    """For an exchange, however many targets it has; one that is None costs nothing."""
    opened: list[Exchange] = []

    def make(exchange: Exchange) -> Guard | None:
        opened.append(exchange)
        return None

    gateway = toybox.gateway(aliasing("a:m", "b:m"), guarding(make), serving(*abc(fails(), reply("b"))), defaults=ALONE)
    one = exchange(gateway)
    await over(one)

    assert ([one], []) == (opened, list(one.guards))


async def test_a_guard_that_holds_a_target_back(toybox: Toybox) -> None:
    """Raises, and the route goes on as if it had been tried."""

    @define(eq=False)
    class Shut(Guard):
        def attempts(self, target: Target, onward: Onward) -> Route:
            return self._shut() if target.backend == "a" else onward(target)

        async def _shut(self) -> Route:
            raise Resting("it is shut", retry_after=5.0)
            yield  # type: ignore[unreachable]

    players = abc(reply("a"), reply("b"))
    gateway = toybox.gateway(aliasing("a:m", "b:m"), guarding(lambda exchange: Shut()), serving(*players), defaults=ALONE)

    assert "b" == await over(exchange(gateway))
    assert [] == players[0].asked
    failure = await over_model(gateway, "a:m")
    assert isinstance(failure, Resting) and 5.0 == failure.retry_after


async def over_model(gateway: Gateway, model: str) -> GatewayError | None:
    """Why a model does not answer."""
    with pytest.raises(GatewayError) as caught:
        await answered(gateway, request(model=model))
    return caught.value


# ---- how an exchange ends -----------------------------------------------------------------------


@define(eq=False)
class Ends:
    """Two endings for each exchange, and headers of the gateway's own."""

    heard: list[tuple[str, Any]] = field(factory=list)
    breaks: bool = False
    waits_for: asyncio.Event | None = None

    def plugin(self) -> type:
        def open_observer(exchange: Exchange) -> None:
            exchange.endings += [self.ending("first"), self.ending("last")]
            exchange.headers["x-own"] = "yes"

        return plugin(open_observer=open_observer)

    def ending(self, name: str) -> Callable[[BaseException | None], Awaitable[None]]:
        async def end(error: BaseException | None) -> None:
            await (self.waits_for.wait() if self.waits_for is not None else asyncio.sleep(0))
            self.heard.append((name, type(error)))
            if self.breaks:
                raise ZeroDivisionError

        return end

    def heard_once(self, error: type) -> bool:
        """Whether both were called, the last one first, with this error."""
        return [("last", error), ("first", error)] == self.heard


@pytest.mark.parametrize(
    ("script", "status", "error"),
    [
        (reply("a"), 200, type(None)),
        (fails(), 502, UpstreamError),
        ([Unsupported("no")], 400, Unsupported),
        ([*opening("Hel"), UpstreamTimeout("slow")], 200, UpstreamTimeout),
        ([ZeroDivisionError()], 500, ZeroDivisionError),
    ],
)
async def test_endings(toybox: Toybox, script: list[Any], status: int, error: type) -> None:
    """Are called once each, the last one first, with how it ended; headers of our own go out, good or bad."""
    ends = Ends()
    async with (
        run_gateway(toybox.deployment(ends.plugin(), serving(Player.of(script)), defaults=ALONE)) as running,
        running.http.post(running.url + "/toy", json={"model": "m", "stream": True}) as response,
    ):
        await response.read()
        await until(lambda: not running.gateway.exchanges)

    assert (status, "yes") == (response.status, response.headers["x-own"])
    assert ends.heard_once(error)


@pytest.mark.parametrize("script", [[asyncio.Event()], [*opening("Hel"), asyncio.Event()]])
async def test_endings_when_the_client_leaves(toybox: Toybox, script: list[Any]) -> None:
    """Before or behind the first word: cancelled."""
    ends, player = Ends(), Player.of(script)
    async with run_gateway(toybox.deployment(ends.plugin(), serving(player), defaults=ALONE)) as running:
        going = asyncio.ensure_future(running.post({"model": "m", "stream": True}, "/toy"))
        await until(lambda: player.asked)
        going.cancel()
        await until(lambda: not running.gateway.exchanges)

    assert ends.heard_once(asyncio.CancelledError)


async def test_endings_when_the_client_hangs_up_behind_the_reply(toybox: Toybox) -> None:
    """Are called to their end: a client without keep-alive closes its connection while they wait for a store."""
    ends, gone = Ends(), asyncio.Event()
    ends.waits_for = gone
    async with run_gateway(toybox.deployment(ends.plugin(), defaults=ALONE)) as running:
        assert (200, {"said": "Hello"}) == await running.post({"model": "m"}, "/toy", connection="close")
        (exchange,) = running.gateway.exchanges
        assert exchange.task is not None
        await until(lambda: exchange.task is not None and exchange.task.cancelling())
        gone.set()
        await until(lambda: not running.gateway.exchanges)

    assert ends.heard_once(type(None))


async def test_an_ending_that_fails(toybox: Toybox, caplog: pytest.LogCaptureFixture) -> None:
    """Keeps no other from being called, and the reply from nobody."""
    ends = Ends(breaks=True)
    async with run_gateway(toybox.deployment(ends.plugin(), defaults=ALONE)) as running:
        assert (200, {"said": "Hello"}) == await running.post({"model": "m"}, "/toy")
        await until(lambda: not running.gateway.exchanges)

    assert ends.heard_once(type(None))
    assert 2 == sum("failed to take note of its end" in one.getMessage() for one in caplog.records)


async def test_an_account_in_a_header(toybox: Toybox) -> None:
    """Where more than one target was tried, good or bad."""
    deployment = toybox.deployment(aliasing("a:m", "b:m"), serving(*abc(fails(), reply("b"))), defaults=ALONE)
    async with run_gateway(deployment) as running:
        async with running.http.post(running.url + "/toy", json={"model": "m"}) as several:
            await several.read()
        async with running.http.post(running.url + "/toy", json={"model": "b:m"}) as alone:
            await alone.read()

    assert "a:m=overloaded, b:m=ok" == several.headers["x-llmgw-attempts"]
    assert "x-llmgw-attempts" not in alone.headers
