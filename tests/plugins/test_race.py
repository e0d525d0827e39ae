from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AsyncExitStack, aclosing
from importlib.metadata import entry_points
from typing import Any

import pytest
from attrs import define, field

from llmgw import pipeline
from llmgw.errors import (
    ConfigError,
    Deadline,
    Forbidden,
    GatewayError,
    InvalidField,
    ModelNotFound,
    Unsupported,
    UpstreamError,
)
from llmgw.events import Event, Progress, ResponseStart
from llmgw.exchange import Exchange
from llmgw.gateway import Gateway
from llmgw.model import Request
from llmgw.stages import Count, Principal, Target
from llmgw_testing import Answer, Break, FakeClock, Hang, Provider, RunningGateway, Wait, run_gateway, stream, whole
from tests.shared import ROLE, answer, chunk, chunks, error_in, question, streamed_text, text_of
from tests.toys import Player, Toybox, exchange, opening, reply, request, serving, told, turns, until

# ---- in process ---------------------------------------------------------------------------------

ALONE = {one.name: False for one in entry_points(group="llmgw.defaults") if one.value in ("plugins", "filters", "routes")}
"""Switches off what is on by default and would answer for names, too."""


def fails(kind: Any = "overloaded") -> list[Any]:
    """A script that fails with this class."""
    return [UpstreamError(f"it is {kind}", kind=kind)]


def never() -> list[Any]:
    """A script in which nothing comes."""
    return [ResponseStart(), asyncio.Event()]


def abc(*scripts: Sequence[Any]) -> list[Player]:
    """Back-ends a, b and so on, each of which plays one script."""
    return [Player.of(script, name=name) for name, script in zip("abcdefgh", scripts, strict=False)]


def built(
    toybox: Toybox, *players: Player, clock: FakeClock | None = None, models: dict[str, Any] | None = None, **options: Any
) -> Gateway:
    """A gateway with races and chains, and these back-ends."""
    routes = [{"race": options}, {"failover": {"models": models or {}}}]
    return toybox.gateway(serving(*players), clock=(clock or FakeClock()).clock, routes=routes, defaults=ALONE)


async def asked(gateway: Gateway, model: str, **more: Any) -> tuple[str | GatewayError, Exchange]:
    """What the client gets for this model: words, or an error; and the exchange."""
    one = exchange(gateway, **more)
    try:
        async with aclosing(await pipeline.answer(one, request(model=model))) as events:
            return told([event async for event in events]), one
    except GatewayError as error:
        return error, one


def tried(one: Exchange) -> str:
    """The account in short, in the order of the names."""
    return " ".join(sorted(f"{attempt.target.backend}={attempt.outcome}" for attempt in one.attempts))


async def test_the_first_that_says_something(toybox: Toybox) -> None:
    """Answers; the others are closed."""
    players = abc(never(), reply("b"), never())
    words, one = await asked(built(toybox, *players), "a:m!b:m!c:m")

    assert ("b", "a=cancelled b=ok c=cancelled") == (words, tried(one))
    assert [["open", "close"]] * 3 == [player.log for player in players]


async def test_all_set_out_at_once(toybox: Toybox) -> None:
    """Nobody waits for another one."""
    players = abc(never(), never(), never())
    running = asyncio.ensure_future(asked(built(toybox, *players), "a:m!b:m!c:m"))
    await turns()

    assert [["open"]] * 3 == [player.log for player in players]
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


@pytest.mark.parametrize("before", [[ResponseStart()], [Progress()]])
async def test_signs_of_life_win_nothing(toybox: Toybox, before: list[Any]) -> None:
    """Only what means something does."""
    words, _ = await asked(built(toybox, *abc([*before, asyncio.Event()], reply("b"))), "a:m!b:m")

    assert "b" == words


async def test_who_fails_leaves_it_to_the_others(toybox: Toybox) -> None:
    """A failure is no first word."""
    go = asyncio.Event()
    running = asyncio.ensure_future(asked(built(toybox, *abc(fails(), [go, *reply("b")])), "a:m!b:m"))
    await turns()
    go.set()

    words, one = await running
    assert ("b", "a=overloaded b=ok") == (words, tried(one))


async def test_all_fail(toybox: Toybox) -> None:
    """The client gets one error, of the lane that failed last."""
    go = asyncio.Event()
    players = abc([go, *fails("timeout")], fails("overloaded"))
    running = asyncio.ensure_future(asked(built(toybox, *players), "a:m!b:m"))
    await turns()
    go.set()
    failure, one = await running

    assert isinstance(failure, UpstreamError)
    assert ("timeout", "a=timeout b=overloaded", []) == (failure.kind, tried(one), one.lanes)


async def test_two_at_once(toybox: Toybox) -> None:
    """One of them wins, and the other is closed like any that has lost."""
    go = asyncio.Event()
    players = abc(*[[go, *opening(name), asyncio.Event()] for name in "abc"])
    gateway = built(toybox, *players)
    one, heard = exchange(gateway), list[Any]()
    events = await pipeline.answer(one, request(model="a:m!b:m!c:m"))
    going = asyncio.ensure_future(anext(events))
    await turns()
    go.set()
    heard.append(await going)

    assert ["close", "close", "open"] == sorted(player.log[-1] for player in players)
    await events.aclose()
    assert [["open", "close"]] * 3 == [player.log for player in players]
    assert ["cancelled", "cancelled", "ok"] == sorted(attempt.outcome for attempt in one.attempts)


async def test_a_race_before_another_target(toybox: Toybox) -> None:
    """When all lanes have failed the chain goes on."""
    words, one = await asked(built(toybox, *abc(fails(), fails("timeout"), reply("c"))), "a:m!b:m|c:m")

    assert ("c", "a=overloaded b=timeout c=ok") == (words, tried(one))


async def test_a_race_behind_another_target(toybox: Toybox) -> None:
    """It is run when that has failed."""
    words, one = await asked(built(toybox, *abc(fails(), never(), reply("c"))), "a:m|b:m!c:m")

    assert ("c", "a=overloaded b=cancelled c=ok") == (words, tried(one))


async def test_a_lane_that_is_a_chain(toybox: Toybox) -> None:
    """Goes on to its next member while the others run."""
    players = abc(fails(), reply("b"), never())
    words, one = await asked(built(toybox, *players, models={"fast": ["a:m", "b:m"]}), "fast!c:m")

    assert ("b", "a=overloaded b=ok c=cancelled") == (words, tried(one))


async def test_a_lane_that_is_a_race(toybox: Toybox) -> None:
    """Has lanes of its own."""
    players = abc(never(), reply("b"), never())
    words, one = await asked(built(toybox, *players, models={"both": "a:m!b:m"}), "c:m!both")

    assert ("b", "a=cancelled b=ok c=cancelled") == (words, tried(one))
    assert [["open", "close"]] * 3 == [player.log for player in players]


async def test_an_unknown_lane(toybox: Toybox) -> None:
    """Is left out, and the exchange says so."""
    words, one = await asked(built(toybox, *abc(never(), reply("b"))), "nope!b:m")

    assert ("b", True) == (words, any("There is no model 'nope'" in each for each in one.remarks))


async def test_all_unknown(toybox: Toybox) -> None:
    """Is a model that is not there."""
    failure, _ = await asked(built(toybox, *abc(never(), reply("b"))), "nope!nada")

    assert isinstance(failure, ModelNotFound)


async def test_who_may_not_have_a_lane(toybox: Toybox) -> None:
    """Nobody is asked."""
    players = abc(reply("a"), reply("b"))
    principal = Principal("team", models=("a:*",))
    failure, one = await asked(built(toybox, *players), "a:m!b:m", principal=principal)

    assert isinstance(failure, Forbidden) and [] == one.attempts


async def test_a_bug_in_a_lane(toybox: Toybox) -> None:
    """Is no failure of a provider; it is not hidden, and all are closed."""
    players = abc(never(), [ZeroDivisionError()])
    with pytest.raises(ExceptionGroup) as caught:
        await asked(built(toybox, *players), "a:m!b:m")

    assert caught.group_contains(ZeroDivisionError)
    assert [["open", "close"]] * 2 == [player.log for player in players]


@pytest.mark.parametrize("model", ["a:m!b:m!c:m!d:m!e:m", "five"])
async def test_so_many_lanes(toybox: Toybox, model: str) -> None:
    """And no more."""
    failure, one = await asked(built(toybox, *abc(*[reply("x")] * 5), models={"five": "a:m!b:m!c:m!d:m!e:m"}), model)

    assert isinstance(failure, Unsupported) and [] == one.attempts
    assert "At most 4 models can be asked at once, not 5." == failure.message


async def test_where_clients_may_not(toybox: Toybox) -> None:
    """Only what the deployment has named is a race."""
    gateway = built(toybox, *abc(never(), reply("b")), clients=False, models={"both": "a:m!b:m"})
    refused, one = await asked(gateway, "a:m!b:m")
    inside, _ = await asked(gateway, "b:n|both!a:m")

    assert isinstance(refused, Unsupported) and [] == one.attempts
    assert "b" == (await asked(gateway, "both"))[0]
    assert "b" == inside  # whose first member is no race


async def test_where_clients_may_not_in_a_chain(toybox: Toybox) -> None:
    """A race behind a chain is refused where it would begin."""
    gateway = built(toybox, *abc(fails(), reply("b")), clients=False, models={"both": "a:m!b:m"})
    failure, one = await asked(gateway, "a:n|both!b:m")

    assert isinstance(failure, Unsupported) and "a=overloaded" == tried(one)


@pytest.mark.parametrize("model", ["a:m!", "!a:m", "a:m!!b:m", "[handicap=x]a:m!b:m", "[hadicap=1]a:m!b:m", "[handicap=1a:m!b:m"])
async def test_a_bad_name_is_the_clients_fault(toybox: Toybox, model: str) -> None:
    """It is told which field, and nobody is asked."""
    failure, one = await asked(built(toybox, *abc(reply("a"), reply("b"))), model)

    assert isinstance(failure, InvalidField)
    assert ("model", []) == (failure.param, one.attempts)


def test_a_race_needs_lanes(toybox: Toybox) -> None:
    """The configuration is refused."""
    with pytest.raises(ConfigError):
        built(toybox, Player(), most=0)


async def test_other_names_cost_nothing(toybox: Toybox) -> None:
    """A plain name is no race."""
    gateway = built(toybox, *abc(reply("a"), reply("b")))

    assert gateway.hook.route(exchange=exchange(gateway), request=request(model="a:m")) is None


async def test_counting(toybox: Toybox) -> None:
    """The first lane counts, and nothing stays open."""

    class Counting(Player):
        async def count(self, exchange: Exchange, target: Target, request: Request) -> Count:
            return Count(42)

    gateway = built(toybox, Counting(name="a"), *abc([], reply("b"))[1:])

    assert Count(42) == await pipeline.count(exchange(gateway), request(model="a:m!b:m"))


# ---- handicaps ----------------------------------------------------------------------------------


async def test_a_handicap(toybox: Toybox) -> None:
    """A lane sets out so many seconds after the start."""
    clock, players = FakeClock(), abc(never(), never(), reply("c"))
    running = asyncio.ensure_future(asked(built(toybox, *players, clock=clock), "[handicap=2]c:m!a:m![handicap=1]b:m"))
    await turns()
    account = [[len(player.log) for player in players]]
    for _ in range(2):
        await clock.advance(1)
        account.append([len(player.asked) for player in players])

    assert [[1, 0, 0], [1, 1, 0], [1, 1, 1]] == account
    assert "c" == (await running)[0]


async def test_a_failure_does_not_move_the_start(toybox: Toybox) -> None:
    """A handicap counts from the start, whatever happens on the way."""
    clock, go = FakeClock(), asyncio.Event()
    players = abc([go, *fails()], never(), reply("c"))
    running = asyncio.ensure_future(asked(built(toybox, *players, clock=clock), "a:m!b:m![handicap=2]c:m"))
    await turns()
    await clock.advance(1)
    go.set()
    await turns()
    assert [] == players[2].asked
    await clock.advance(1)

    assert "c" == (await running)[0]


async def test_nobody_waits_for_those_who_have_failed(toybox: Toybox) -> None:
    """The next lane sets out at once when nobody is on the way."""
    words, one = await asked(built(toybox, *abc(fails(), fails(), reply("c"))), "a:m![handicap=50]b:m![handicap=99]c:m")

    assert ("c", "a=overloaded b=overloaded c=ok") == (words, tried(one))


async def test_who_has_not_set_out_never_does(toybox: Toybox) -> None:
    """Once one has answered."""
    players = abc(reply("a"), reply("b"))
    words, one = await asked(built(toybox, *players), "a:m![handicap=9]b:m")

    assert ("a", "a=ok", []) == (words, tried(one), players[1].asked)


# ---- ends ---------------------------------------------------------------------------------------


async def test_a_client_that_leaves(toybox: Toybox) -> None:
    """All lanes are closed."""
    players = abc(never(), never())
    running = asyncio.ensure_future(asked(built(toybox, *players), "a:m!b:m![handicap=5]a:n"))
    await turns()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running

    assert [["open", "close"]] * 2 == [player.log for player in players]


@define(eq=False)
class Sticky(Player):
    """Takes its time to be closed."""

    closed: asyncio.Event = field(factory=asyncio.Event)

    async def stream(self, exchange: Exchange, target: Target, request: Request) -> AsyncGenerator[Event, None]:
        try:
            async for event in super().stream(exchange, target, request):
                yield event
        finally:
            await self.closed.wait()


async def test_a_client_that_leaves_as_somebody_wins(toybox: Toybox) -> None:
    """While those who have lost are being closed, the winner is not forgotten."""
    sticky, [_, winner] = Sticky.of(never(), name="a"), abc([], [*opening("b"), asyncio.Event()])
    running = asyncio.ensure_future(asked(built(toybox, sticky, winner), "a:m!b:m"))
    await turns()
    assert not running.done()
    running.cancel()
    await turns()
    assert isinstance(sticky, Sticky)
    sticky.closed.set()
    with pytest.raises(asyncio.CancelledError):
        await running

    assert (["open", "close"], ["open", "close"]) == (sticky.log, winner.log)


# ---- over sockets -------------------------------------------------------------------------------


class Providers:
    """Several, each a back-end of its own."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self.stack = stack
        self.all: dict[str, Provider] = {}

    async def add(self, *answers: Answer) -> Provider:
        """One more, named by the next letter."""
        one = await self.stack.enter_async_context(Provider.start())
        one.answers(*answers)
        self.all["abcd"[len(self.all)]] = one
        return one

    def config(self, proxy: dict[str, Any] | None = None, **kinds: str) -> dict[str, Any]:
        """A gateway for all of them."""
        backends: dict[str, Any] = {}
        for name, one in self.all.items():
            kind = kinds.get(name, "openai-compatible")
            url = one.base_url if kind == "openai-compatible" else one.base_url.removesuffix("/v1")
            backends[name] = {"type": kind, "base_url": url, "api_key": "env:KEY"}
        routes = ["race", {"failover": {"models": {"fast": ["a:m", "b:m"]}}}]
        return {"backends": backends, "routes": routes, "defaults": {**ALONE, "echo": False}, "proxy": proxy or {}}


@pytest.fixture
async def providers() -> AsyncIterator[Providers]:
    """Providers until the test ends."""
    async with AsyncExitStack() as stack:
        yield Providers(stack)


ENV = {"KEY": "k"}


@pytest.mark.parametrize("streamed", [False, True])
async def test_over_sockets(providers: Providers, streamed: bool) -> None:
    """The others' connections are closed at once, and the headers are the winner's."""
    slow = await providers.add(stream(ROLE, Hang(), x_ratelimit_remaining_requests="1"))
    good = stream(*chunks("From b."), "[DONE]", x_ratelimit_remaining_requests="2")
    await providers.add(good if streamed else whole(answer("From b."), x_ratelimit_remaining_requests="2"))
    async with run_gateway(providers.config(), ENV) as running:
        asking = question(model="a:m!b:m", stream=streamed)
        async with running.http.post(running.url + "/v1/chat/completions", json=asking) as response:
            text = await response.text()
        await asyncio.wait_for(slow.left.wait(), 5)

    assert (200, "From b.") == (response.status, streamed_text(text) if streamed else text_of(json.loads(text)))
    assert "2" == response.headers["x-ratelimit-remaining-requests"]
    assert {"a:m=cancelled", "b:m=ok"} == set(response.headers["x-llmgw-attempts"].split(", "))


async def test_losers_are_gone_before_the_winner_has_ended(providers: Providers) -> None:
    """What is not wanted is not paid for longer than necessary."""
    go = asyncio.Event()
    slow = await providers.add(stream(ROLE, Hang()))
    role, first, *rest = chunks("From", " b.")
    await providers.add(stream(role, first, Wait(go), *rest, "[DONE]"))
    async with run_gateway(providers.config(), ENV) as running:
        going = asyncio.ensure_future(running.post(question(model="a:m!b:m", stream=True)))
        await asyncio.wait_for(slow.left.wait(), 5)
        assert not going.done()
        go.set()

        assert "From b." == streamed_text((await going)[1])


async def test_all_fail_over_sockets(providers: Providers) -> None:
    """One error, with its status and the account."""
    for _ in range(2):
        await providers.add(whole({"error": {"message": "No.", "type": "x", "param": None, "code": None}}, 503))
    asking = question(model="a:m!b:m")
    async with (
        run_gateway(providers.config(), ENV) as running,
        running.http.post(running.url + "/v1/chat/completions", json=asking) as response,
    ):
        body = await response.json()

    assert (503, "No.") == (response.status, error_in(body)["message"])
    assert {"a:m=overloaded", "b:m=overloaded"} == set(response.headers["x-llmgw-attempts"].split(", "))


def said_by_anthropic(text: str) -> list[Any]:
    """A stream of Messages."""
    usage = {"input_tokens": 1, "output_tokens": 1}
    start = {"id": "m", "type": "message", "role": "assistant", "content": [], "model": "m", "stop_reason": None, "usage": usage}
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": start},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": usage},
        {"type": "message_stop"},
    ]
    return [f"event: {one['type']}\ndata: {json.dumps(one)}\n\n".encode() for one in events]


@pytest.mark.parametrize("first", ["a", "b"])
async def test_lanes_in_several_dialects(providers: Providers, first: str) -> None:
    """Each is asked in its own; what was lost on the way is that of the winner alone."""
    go = {name: asyncio.Event() for name in "ab"}
    a = await providers.add(stream(Wait(go["a"]), *chunks("From a."), "[DONE]"))
    b = await providers.add(stream(Wait(go["b"]), *said_by_anthropic("From b.")))
    async with run_gateway(providers.config(b="anthropic"), ENV) as running:
        asking = question(model="a:m!b:claude-sonnet-4-5", stream=True, frequency_penalty=0.5, max_tokens=9)
        going = asyncio.ensure_future(running.http.post(running.url + "/v1/chat/completions", json=asking))
        await until(lambda: a.seen and b.seen)
        go[first].set()
        async with await going as response:
            text = await response.text()

    assert f"From {first}." == streamed_text(text)
    assert ("frequency_penalty" in response.headers.get("x-llmgw-losses", "")) is (first == "b")


async def test_silence_in_one_lane(providers: Providers) -> None:
    """Ends that lane, and the others go on; later the winner's silence is noticed as any other's."""
    clock, ping, go = FakeClock(), asyncio.Event(), asyncio.Event()
    silent = await providers.add(stream(ROLE, Hang()))
    role, first, *_ = chunks("From b.")
    await providers.add(stream(role, Wait(ping), b": ping\n\n", Wait(go), first, Hang()))
    async with run_gateway(providers.config({"silence_timeout": 10.0}), ENV, clock=clock.clock) as running:
        going = asyncio.ensure_future(running.post(question(model="a:m!b:m", stream=True)))
        await until(lambda: reads(running) == 2)
        await clock.advance(5)
        ping.set()
        await until(lambda: reads(running) == 3)
        await clock.advance(6)
        await asyncio.wait_for(silent.left.wait(), 5)
        assert not going.done()
        go.set()
        await until(lambda: any(one.committed for one in running.gateway.exchanges))
        await clock.advance(12)
        _, text = await going

    assert "From b." == streamed_text(text)
    assert "was silent for 10 s" in text


def reads(running: RunningGateway) -> int:
    """How often something has come from a provider, in all lanes."""
    return sum(lane.reads for one in running.gateway.exchanges for lane in one.lanes)


async def test_patience_in_a_lane(providers: Providers) -> None:
    """A lane that is silent for too long is left, as a target of a chain is, while the others run."""
    clock, go = FakeClock(), asyncio.Event()
    silent = await providers.add(stream(ROLE, Hang()))
    await providers.add(stream(ROLE, Wait(go), *chunks("From b.")[1:], "[DONE]"))
    async with run_gateway(providers.config(), ENV, clock=clock.clock) as running:
        going = asyncio.ensure_future(running.post(question(model="[patience=2]a:m!b:m", stream=True)))
        await until(lambda: reads(running) == 2)
        await clock.advance(3)
        await asyncio.wait_for(silent.left.wait(), 5)
        assert not going.done()
        go.set()

        assert "From b." == streamed_text((await going)[1])


async def test_the_deadline_in_a_race(providers: Providers) -> None:
    """Ends all lanes, and the client is told."""
    clock = FakeClock()
    lanes = [await providers.add(stream(ROLE, Hang())) for _ in range(2)]
    async with run_gateway(providers.config({"deadline": 30.0}), ENV, clock=clock.clock) as running:
        going = asyncio.ensure_future(running.post(question(model="a:m!b:m")))
        await until(lambda: all(lane.seen for lane in lanes))
        await clock.advance(31)
        status, body = await going
        for lane in lanes:
            await asyncio.wait_for(lane.left.wait(), 5)

    assert (Deadline.status, True) == (status, "longer than the 30 s" in error_in(body)["message"])


@pytest.mark.parametrize("begun", [False, True])
async def test_a_client_that_leaves_over_sockets(providers: Providers, begun: bool) -> None:
    """In the middle of a race, or of the winner's reply: all connections are closed."""
    steps = (chunk({"content": "Half"}),) if begun else ()
    lanes = [await providers.add(stream(ROLE, Hang())), await providers.add(stream(ROLE, *steps, Hang()))]
    async with run_gateway(providers.config(), ENV) as running:
        going = asyncio.ensure_future(running.post(question(model="a:m!b:m", stream=True)))
        await until(lambda: all(lane.seen for lane in lanes))
        await until(lambda: all(one.committed is begun for one in running.gateway.exchanges))
        going.cancel()
        for lane in lanes:
            await asyncio.wait_for(lane.left.wait(), 5)
        await until(lambda: not running.gateway.exchanges)


async def test_a_winner_that_breaks_off(providers: Providers) -> None:
    """Nobody else is asked any more."""
    await providers.add(stream(ROLE, Hang()))
    await providers.add(stream(ROLE, chunk({"content": "Half"}), Break()))
    async with run_gateway(providers.config(), ENV) as running:
        _, text = await running.post(question(model="a:m!b:m|a:n", stream=True))

    assert ("Half", True, 1) == (streamed_text(text), "broke off" in text, len(providers.all["a"].seen))
