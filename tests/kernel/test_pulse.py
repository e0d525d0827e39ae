from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from llmgw.errors import Deadline, GatewayError, UpstreamTimeout
from llmgw.exchange import ClientLeft, ClientStalled, Exchange
from llmgw.gateway import Gateway
from llmgw.model import Request
from llmgw.pulse import Pulse
from llmgw.stages import Target
from llmgw_testing import FakeClock, Hang, Provider, Wait, run_gateway, stream
from tests.toys import Player, Toybox, ToyHttp, Watching, exchange, frame, observing, reply, routing, serving, turns, until

# ---- one look -----------------------------------------------------------------------------------


class Beats:
    """Counts heartbeats, and takes them as written."""

    def __init__(self, one: Exchange) -> None:
        self.one = one
        self.count = 0

    async def __call__(self) -> None:
        self.count += 1
        self.one.writes += 1
        self.one.beats += 1


def waiting(gateway: Gateway, clock: FakeClock) -> Exchange:
    """An exchange that waits for its provider."""
    one = exchange(gateway, started=clock.now, moved_at=clock.now, written_at=clock.now)
    one.waiting, one.beat = True, Beats(one)
    gateway.exchanges.add(one)
    return one


@pytest.fixture
def clock() -> FakeClock:
    """Time that stands still."""
    return FakeClock()


async def test_a_heartbeat_comes_when_it_is_due(toybox: Toybox, clock: FakeClock) -> None:
    """The first after ``commit_delay``, the next ones after ``heartbeat`` each."""
    gateway = toybox.gateway(clock=clock.clock, proxy={"commit_delay": 10.0, "heartbeat": 4.0})
    one, pulse = waiting(gateway, clock), Pulse(gateway)
    beaten = []
    for second in range(1, 20):
        clock.now += 1
        for due in pulse.look():
            assert one is due and one.beat is not None
            await one.beat()
            pulse.look()
            beaten.append(second)

    assert [10, 14, 18] == beaten


async def test_an_exchange_that_moves_is_left_alone(toybox: Toybox, clock: FakeClock) -> None:
    """One that reads and writes hears nothing of the pulse, however long it takes."""
    gateway = toybox.gateway(clock=clock.clock, proxy={"heartbeat": 2.0, "commit_delay": 2.0, "silence_timeout": 2.0})
    one, pulse = waiting(gateway, clock), Pulse(gateway)
    for _ in range(100):
        clock.now += 1
        one.reads += 1
        one.writes += 1
        assert [] == pulse.look()

    assert one.interruption(of="all") is None


async def test_who_does_not_wait_for_a_provider_is_not_ended(toybox: Toybox, clock: FakeClock) -> None:
    """A back-end that is no provider over HTTP may take as long as it wants; its client hears heartbeats all the same."""
    gateway = toybox.gateway(clock=clock.clock)
    one, pulse = waiting(gateway, clock), Pulse(gateway)
    one.waiting = False
    clock.now += 10_000

    assert ([one], None) == (pulse.look(), one.interruption(of="all"))


async def test_who_gets_no_heartbeats_hears_none(toybox: Toybox, clock: FakeClock) -> None:
    """A client that wants no stream has nothing to beat."""
    gateway = toybox.gateway(clock=clock.clock, proxy={"silence_timeout": 1000.0})
    one = waiting(gateway, clock)
    one.beat = None
    clock.now += 100

    assert [] == Pulse(gateway).look()


async def interrupted(one: Exchange) -> GatewayError | None:
    """Why this task is interrupted."""
    with pytest.raises(asyncio.CancelledError):
        await turns()
    return one.interruption(of="all")


@pytest.mark.parametrize(
    ("limit", "expected", "words"),
    [("silence_timeout", UpstreamTimeout, "silent for 60 s"), ("deadline", Deadline, "longer than the 60 s")],
)
async def test_what_takes_too_long_is_ended(toybox: Toybox, clock: FakeClock, limit: str, expected: type, words: str) -> None:
    """At the very second, and not before."""
    gateway = toybox.gateway(clock=clock.clock, proxy={limit: 60.0})
    one, pulse = waiting(gateway, clock), Pulse(gateway)
    clock.now += 59
    pulse.look()
    await turns()
    clock.now += 1
    pulse.look()
    error = await interrupted(one)

    assert isinstance(error, expected) and words in error.message


async def test_who_has_so_much_time(toybox: Toybox, clock: FakeClock) -> None:
    """An attempt that must have come to something by then is ended, if it is still waited for."""
    gateway = toybox.gateway(clock=clock.clock)
    one, pulse = waiting(gateway, clock), Pulse(gateway)
    one.begin(Target("toy", "m", patience=2.0))
    clock.now += 1.9
    pulse.look()
    await turns()
    clock.now += 0.1
    one.waiting = False
    pulse.look()
    await turns()
    one.waiting = True
    pulse.look()
    error = await interrupted(one)

    assert isinstance(error, UpstreamTimeout) and "'toy' gave no sign of an answer" in error.message


async def lane_of(one: Exchange, clock: FakeClock, patience: float | None = None) -> tuple[Exchange, asyncio.Task[Any]]:
    """An attempt beside others that waits for its provider, in a task of its own."""
    lane = one.lane()
    lane.begin(Target("toy", "m", patience=patience))
    lane.waiting = True
    lane.task = task = asyncio.ensure_future(asyncio.Event().wait())
    await turns()
    return lane, task


@pytest.mark.parametrize(("patience", "seconds"), [(None, 60), (5.0, 5)])
async def test_each_lane_waits_for_its_own_provider(
    toybox: Toybox, clock: FakeClock, patience: float | None, seconds: int
) -> None:
    """One that is silent for too long is ended; the others and the exchange are not."""
    gateway = toybox.gateway(clock=clock.clock, proxy={"silence_timeout": 60.0})
    one, pulse = waiting(gateway, clock), Pulse(gateway)
    one.waiting = False
    (silent, gone), (lively, goes_on) = await lane_of(one, clock, patience), await lane_of(one, clock)
    for _ in range(seconds):
        clock.now += 1
        lively.reads += 1
        pulse.look()
        await turns()

    assert (True, False) == (gone.cancelled(), goes_on.done())
    assert isinstance(silent.interruption(of="provider"), UpstreamTimeout)
    assert (None, None) == (lively.interruption(of="all"), one.interruption(of="all"))
    goes_on.cancel()


async def test_the_lane_that_won_is_looked_after(toybox: Toybox, clock: FakeClock) -> None:
    """Its silence ends the exchange, whose task it is now."""
    gateway = toybox.gateway(clock=clock.clock, proxy={"silence_timeout": 60.0})
    one, pulse = waiting(gateway, clock), Pulse(gateway)
    one.waiting = False
    lane, task = await lane_of(one, clock)
    task.cancel()
    one.adopt(lane)
    clock.now += 60
    pulse.look()

    assert isinstance(await interrupted(lane), UpstreamTimeout)
    assert one.interruption(of="all") is None


async def test_heartbeats_are_no_sign_of_the_provider(toybox: Toybox, clock: FakeClock) -> None:
    """That we write to the client does not make a provider less silent."""
    gateway = toybox.gateway(clock=clock.clock, proxy={"silence_timeout": 60.0, "heartbeat": 1.0})
    one, pulse = waiting(gateway, clock), Pulse(gateway)
    for _ in range(60):
        clock.now += 1
        one.writes += 1
        one.beats += 1
        pulse.look()

    assert isinstance(await interrupted(one), UpstreamTimeout)


async def test_a_slow_client_does_not_make_a_provider_silent(toybox: Toybox, clock: FakeClock) -> None:
    """While a client takes its time nobody waits for the provider; its own time begins when somebody does."""
    gateway = toybox.gateway(clock=clock.clock, proxy={"silence_timeout": 60.0, "client_timeout": 600.0})
    one, pulse = waiting(gateway, clock), Pulse(gateway)
    one.reads, one.waiting = 1, False
    pulse.look()
    clock.now += 100
    one.writes, one.waiting = 1, True
    pulse.look()
    clock.now += 59
    pulse.look()
    await turns()

    assert one.interruption(of="all") is None


async def test_a_client_that_does_not_read(toybox: Toybox, clock: FakeClock) -> None:
    """An exchange that read something and cannot get rid of it is ended."""
    gateway = toybox.gateway(clock=clock.clock, proxy={"client_timeout": 60.0})
    one, pulse = waiting(gateway, clock), Pulse(gateway)
    one.writing, one.waiting = True, False
    pulse.look()
    clock.now += 60
    pulse.look()
    error = await interrupted(one)

    assert isinstance(error, ClientStalled) and "took nothing" in error.message


async def test_one_bad_heartbeat_is_not_the_end(toybox: Toybox, clock: FakeClock, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever goes wrong with one client's heartbeat, the others go on getting theirs."""
    gateway = toybox.gateway(clock=clock.clock, proxy={"commit_delay": 1.0, "heartbeat": 1.0})
    bad, gone, good = waiting(gateway, clock), waiting(gateway, clock), waiting(gateway, clock)

    async def break_down() -> None:
        raise ZeroDivisionError

    async def leave() -> None:
        raise ClientLeft

    bad.beat, gone.beat = break_down, leave
    running = asyncio.ensure_future(Pulse(gateway).run())
    await turns()
    await clock.advance(5)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running

    assert isinstance(good.beat, Beats) and 3 == good.beat.count
    assert {f"exchange {bad.id} gets no heartbeat"} == {one.getMessage() for one in caplog.records}


# ---- over sockets -------------------------------------------------------------------------------


@pytest.mark.parametrize("answers", [True, False])
async def test_a_client_that_waits_hears_heartbeats(toybox: Toybox, provider: Provider, clock: FakeClock, answers: bool) -> None:
    """Also before the first token; what follows, reply or failure, comes in the same stream."""
    go = asyncio.Event()
    provider.answers(stream(Wait(go), frame(say="Hello"), frame(end="end")))
    proxy = {"commit_delay": 5.0, "heartbeat": 5.0, "silence_timeout": 60.0}
    async with run_gateway(
        toybox.deployment(serving(ToyHttp(base_url=provider.base_url)), proxy=proxy), clock=clock.clock
    ) as running:
        answer = asyncio.ensure_future(running.post({"model": "m", "stream": True}, "/toy"))
        await until(lambda: provider.seen and next(iter(running.gateway.exchanges)).waiting)
        await clock.advance(11)
        if answers:
            go.set()
        else:
            await clock.advance(60)
        status, text = await answer

    assert (200, True) == (status, text.startswith(":\n\n:\n\n"))
    assert (
        (frame(say="Hello") + frame(end="end")).decode() == text.replace(":\n\n", "") if answers else 1 == text.count('"error"')
    )


async def test_silence_goes_back_to_the_route(toybox: Toybox, provider: Provider, clock: FakeClock) -> None:
    """Another target gets a silence of its own: it is not cut short by that of the one before."""
    failures: list[GatewayError | None] = []
    go = asyncio.Event()

    async def route() -> AsyncGenerator[Target, GatewayError | None]:
        failures.append((yield Target("toy", "slow")))
        yield Target("toy", "quick")

    def make(exchange: Exchange, request: Request) -> Any:
        return route()

    provider.answers(stream(Hang()), stream(Wait(go), frame(say="Hello"), frame(end="end")))
    config = toybox.deployment(routing(make), serving(ToyHttp(base_url=provider.base_url)), proxy={"silence_timeout": 60.0})
    async with run_gateway(config, clock=clock.clock) as running:
        answer = asyncio.ensure_future(running.post({"model": "m"}, "/toy"))
        await until(lambda: provider.seen and next(iter(running.gateway.exchanges)).waiting)
        await clock.advance(61)
        await until(lambda: len(provider.seen) == 2)
        await clock.advance(30)
        go.set()

        assert (200, {"said": "Hello"}) == await answer
    assert [UpstreamTimeout] == list(map(type, failures))


async def test_a_client_that_stalls_is_let_go(toybox: Toybox, clock: FakeClock) -> None:
    """One that keeps its connection and reads nothing does not keep an exchange for ever."""
    watching = Watching()
    script = reply(*["x" * 100_000] * 200)
    config = toybox.deployment(observing(watching), serving(Player.of(script)), proxy={"client_timeout": 60.0})
    async with run_gateway(config, clock=clock.clock) as running:
        host, port = running.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as client:
            body = b'{"model": "m", "stream": true}'
            client.send(b"POST /toy HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
            await until(lambda: watching.events)
            await turns(1000)
            await clock.advance(70)
            await until(lambda: watching.ends)

    assert [ClientStalled] == list(map(type, watching.ends))


async def test_one_that_sets_out_is_no_sign_of_the_others(toybox: Toybox, clock: FakeClock) -> None:
    """A lane's silence is its own, whatever other lanes begin."""
    gateway = toybox.gateway(clock=clock.clock, proxy={"silence_timeout": 60.0})
    one, pulse = waiting(gateway, clock), Pulse(gateway)
    one.waiting = False
    _, gone = await lane_of(one, clock)
    clock.now += 30
    pulse.look()
    _, other = await lane_of(one, clock)
    clock.now += 30
    pulse.look()
    pulse.look()
    await turns()
    assert (True, False) == (gone.cancelled(), other.done())
    other.cancel()


async def test_lanes_of_a_lane(toybox: Toybox, clock: FakeClock) -> None:
    """Are looked after, too."""
    gateway = toybox.gateway(clock=clock.clock, proxy={"silence_timeout": 60.0})
    one, pulse = waiting(gateway, clock), Pulse(gateway)
    one.waiting = False
    _, gone = await lane_of(one.lane(), clock)
    clock.now += 60
    pulse.look()
    await turns()
    assert gone.cancelled()
