from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack, aclosing
from importlib.metadata import entry_points
from typing import Any

import aiohttp
import pytest
from attrs import define, evolve, field

from llmgw import pipeline
from llmgw.errors import (
    ConfigError,
    Forbidden,
    GatewayError,
    InvalidField,
    Misconfigured,
    ModelNotFound,
    Resting,
    Unsupported,
    UpstreamError,
    UpstreamTimeout,
)
from llmgw.events import Error, Event, Progress, ResponseStart
from llmgw.exchange import Exchange
from llmgw.gateway import Gateway
from llmgw.model import Request
from llmgw.route import next_step, resolve
from llmgw.stages import Count, Guard, Onward, Principal, Route, Target
from llmgw_failover import Failover
from llmgw_failover.policy import Limits, Policy
from llmgw_testing import Answer, Break, FakeClock, Hang, Provider, RunningGateway, Wait, run_gateway, stream, whole
from tests.shared import ROLE, answer, chunk, chunks, error_in, frames, question, streamed_text, text_of
from tests.toys import Player, Toybox, exchange, opening, plugin, reply, request, routing, serving, told, turns, until

# ---- in process: back-ends that play what they are given ----------------------------------------

ALONE = {one.name: False for one in entry_points(group="llmgw.defaults") if one.value in ("plugins", "filters", "routes")}
"""Switches off what is on by default and would answer for names, too."""


def fails(kind: Any = "overloaded", retry_after: float | None = None) -> list[Any]:
    """A script that fails with this class."""
    return [UpstreamError(f"it is {kind}", kind=kind, retry_after=retry_after)]


def abc(*scripts: Sequence[Any]) -> list[Player]:
    """Back-ends a, b and so on, each of which plays one script."""
    return [Player.of(script, name=name) for name, script in zip("abcdefgh", scripts, strict=False)]


def built(
    toybox: Toybox, *players: Player, clock: FakeClock | None = None, beside: Sequence[type] = (), **options: Any
) -> Gateway:
    """A gateway with failover, other routes beside it, and these back-ends."""
    routes = [{"failover": options}, *toybox.install(*beside)]
    return toybox.gateway(serving(*players), clock=(clock or FakeClock()).clock, routes=routes, defaults=ALONE)


async def asked(gateway: Gateway, model: str, **more: Any) -> tuple[str | GatewayError, Exchange]:
    """What the client gets for this model: words, or an error; and the exchange."""
    one = exchange(gateway, **more)
    try:
        async with aclosing(await pipeline.answer(one, request(model=model))) as events:
            return told([event async for event in events]), one
    except GatewayError as error:
        return error, one


async def seen_of(gateway: Gateway, model: str) -> tuple[list[Event], GatewayError | None]:
    """The events that a client gets, and the error in which they end."""
    seen: list[Event] = []
    try:
        async with aclosing(await pipeline.answer(exchange(gateway), request(model=model))) as events:
            async for event in events:
                if isinstance(event, Error):
                    return seen, event.error
                seen.append(event)
    except GatewayError as error:
        return seen, error
    return seen, None


def tried(one: Exchange) -> str:
    """The account in short."""
    return " ".join(f"{attempt.target.backend}={attempt.outcome}" for attempt in one.attempts)


# ---- one after the other ------------------------------------------------------------------------


async def test_the_first_that_answers(toybox: Toybox) -> None:
    """Members are asked in their order, and nobody behind the one that answers."""
    players = abc(fails(), fails("timeout"), reply("from c"), reply("from d"))
    words, one = await asked(built(toybox, *players), "a:m|b:m|c:m|d:m")

    assert ("from c", "a=overloaded b=timeout c=ok") == (words, tried(one))


@pytest.mark.parametrize("kind", Limits.GO_ON)
async def test_classes_after_which_it_goes_on(toybox: Toybox, kind: str) -> None:
    """All that another target may cure."""
    words, _ = await asked(built(toybox, *abc(fails(kind), reply("from b"))), "a:m|b:m")

    assert "from b" == words


@pytest.mark.parametrize("kind", ["invalid_request", "content_policy", "not_found", "request_too_large", "conflict"])
async def test_classes_after_which_it_does_not(toybox: Toybox, kind: str) -> None:
    """What is the client's own doing would fail anywhere, and a refusal of content is not to be got round unasked."""
    failure, one = await asked(built(toybox, *abc(fails(kind), reply("from b"))), "a:m|b:m")

    assert isinstance(failure, UpstreamError)
    assert (kind, f"a={kind}") == (failure.kind, tried(one))


async def test_content_policy_if_allowed(toybox: Toybox) -> None:
    """Who writes it into ``on`` has it tried elsewhere."""
    words, _ = await asked(built(toybox, *abc(fails("content_policy"), reply("b")), on=["content_policy"]), "a:m|b:m")

    assert "b" == words


async def test_only_what_is_allowed(toybox: Toybox) -> None:
    """``on`` is the whole list."""
    _, one = await asked(built(toybox, *abc(fails("overloaded"), reply("b")), on=["timeout"]), "a:m|b:m")

    assert "a=overloaded" == tried(one)


async def test_what_a_model_cannot_do(toybox: Toybox) -> None:
    """A request that cannot be said to one model may be said to another."""
    words, one = await asked(built(toybox, *abc([Unsupported("no pictures")], reply("b"))), "a:m|b:m")

    assert ("b", "a=unsupported_feature b=ok") == (words, tried(one))


async def test_what_no_model_can_do(toybox: Toybox) -> None:
    """The client hears that, and not that the gateway is wrong."""
    failure, _ = await asked(built(toybox, *abc([Unsupported("no pictures")], [Unsupported("no sound")])), "a:m^b:m|a:n")

    assert isinstance(failure, Unsupported)


async def test_a_chain_in_a_chain_gives_up(toybox: Toybox) -> None:
    """What ends an inner chain does not end the outer one where that may go on."""
    players = abc([Misconfigured("no key")], [Unsupported("no pictures")], reply("c"))
    words, _ = await asked(built(toybox, *players, models={"two": ["a:m", "b:m"]}), "two|c:m")

    assert "c" == words


async def test_a_key_that_is_not_set(toybox: Toybox) -> None:
    """Such a back-end is passed by."""
    words, _ = await asked(built(toybox, *abc([Misconfigured("A_KEY is not set")], reply("b"))), "a:m|b:m")

    assert "b" == words


async def test_an_unknown_member_is_passed_by(toybox: Toybox) -> None:
    """And the exchange says so."""
    words, one = await asked(built(toybox, *abc(reply("a"), reply("b"))), "nope|b:m")

    assert ("b", True) == (words, "There is no model 'nope' here" in one.remarks[0])


async def test_all_unknown(toybox: Toybox) -> None:
    """Is a model that is not there."""
    failure, _ = await asked(built(toybox, *abc(reply("a"), reply("b"))), "nope|nada")

    assert isinstance(failure, ModelNotFound)


async def test_an_unknown_member_hides_no_failure(toybox: Toybox) -> None:
    """The client hears of what was tried."""
    failure, _ = await asked(built(toybox, *abc(fails("overloaded"), reply("b"))), "a:m|nope")

    assert isinstance(failure, UpstreamError) and "overloaded" == failure.kind


async def test_the_last_failure_is_told(toybox: Toybox) -> None:
    """With all that belongs to it."""
    failure, one = await asked(built(toybox, *abc(fails("overloaded", 5.0), fails("rate_limited", 7.0))), "a:m|b:m")

    assert isinstance(failure, UpstreamError)
    assert ("rate_limited", 7.0, "a=overloaded b=rate_limited") == (failure.kind, failure.retry_after, tried(one))


async def test_a_bug_is_not_failed_over(toybox: Toybox) -> None:
    """What is no failure of a provider ends the exchange."""
    players = abc([ZeroDivisionError()], reply("b"))
    with pytest.raises(ZeroDivisionError):
        await asked(built(toybox, *players), "a:m|b:m")

    assert [] == players[1].asked


# ---- the commit point ---------------------------------------------------------------------------


@pytest.mark.parametrize("before", [[ResponseStart()], [Progress()], [ResponseStart(), Progress()]])
async def test_before_anything_of_meaning(toybox: Toybox, before: list[Event]) -> None:
    """Role chunks and pings commit to nothing, and none of them reaches the client."""
    words, one = await asked(built(toybox, *abc([*before, *fails()], reply("b"))), "a:m|b:m")

    assert ("b", "a=overloaded b=ok") == (words, tried(one))


@pytest.mark.parametrize("how", [UpstreamTimeout("slow"), Error(error=UpstreamTimeout("slow"))])
async def test_behind_it_nothing_is_tried(toybox: Toybox, how: Any) -> None:
    """The client gets what came, once, and then an error."""
    players = abc([*opening("Hel"), how], reply("b"))
    seen, failure = await seen_of(built(toybox, *players), "a:m|b:m")

    assert opening("Hel") == seen
    assert isinstance(failure, UpstreamTimeout)
    assert [] == players[1].asked


# ---- names and policies -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "chain", ["a:m|b:m", ["a:m", "b:m"], {"chain": "a:m|b:m"}, {"chain": ["a:m", "b:m"]}, ["a:m|b:m"], " a:m | b:m "]
)
async def test_a_chain_by_a_name(toybox: Toybox, chain: Any) -> None:
    """As a text or as a list, alone or with other options."""
    words, one = await asked(built(toybox, *abc(fails(), reply("b")), models={"fast": chain}), "fast")

    assert ("b", "a=overloaded b=ok") == (words, tried(one))


@pytest.mark.parametrize(
    ("model", "expected"), [("claude-x", "a"), ("claude-x-1", "b"), ("claude-x-1-mini", "c"), ("claude-*", "a")]
)
async def test_the_nearest_pattern_decides(toybox: Toybox, model: str, expected: str) -> None:
    """The name itself, else the longest pattern."""
    models = {"claude-*": ["a:m"], "claude-x-*": ["b:m"], "claude-x-1-mini": ["c:m"], "claude-x-1-mi??": ["a:m"]}
    words, _ = await asked(built(toybox, *abc(reply("a"), reply("b"), reply("c")), models=models), model)

    assert expected == words


@pytest.mark.parametrize("model", ["claude-x|b:m", "[patience=9]claude-x|b:m"])
async def test_a_pattern_takes_no_names_with_signs(toybox: Toybox, model: str) -> None:
    """A policy for ``claude-*`` is for its part of a chain, not for the whole of it."""
    words, one = await asked(built(toybox, *abc(fails(), reply("b")), models={"claude-*": ["a:m"]}), model)

    assert ("b", "a=overloaded b=ok") == (words, tried(one))


async def test_a_name_in_its_own_chain(toybox: Toybox) -> None:
    """Means itself there: a back-end's model."""
    [player, _] = players = abc(fails(), reply("b"))
    words, _ = await asked(built(toybox, *players, models={"a:m": ["a:m", "b:m"]}), "a:m")

    assert ("b", 1) == (words, len(player.asked))


async def test_two_that_stand_in_for_one_another(toybox: Toybox) -> None:
    """Each comes to an end."""
    models = {"a:m": ["a:m", "b:m"], "b:m": ["b:m", "a:m"]}
    failure, one = await asked(built(toybox, *abc(fails(), fails("timeout")), models=models), "a:m")

    assert isinstance(failure, UpstreamError)
    assert "a=overloaded b=timeout a=overloaded" == tried(one)


async def test_names_that_lead_round_in_a_circle(toybox: Toybox) -> None:
    """End with an error that says so, before anything is tried, and without running out of the stack."""

    def make(exchange: Exchange, request: Request) -> Route | None:
        return resolving(exchange, request.with_model("one|two")) if request.model in ("one", "two") else None

    gateway = built(toybox, *abc(reply("a"), reply("b")), beside=[routing(make)])
    failure, one = await asked(gateway, "one")

    assert isinstance(failure, Misconfigured) and [] == one.attempts
    assert "'one' stands for more than 100 names, or for itself" in failure.message


async def resolving(exchange: Exchange, request: Request) -> Route:
    """An alias."""
    failure: GatewayError | None = None
    async with aclosing(resolve(exchange, request)) as inner:
        while (step := await next_step(inner, failure)) is not None:
            failure = yield step


@pytest.mark.parametrize(
    ("models", "words"),
    [
        ({"x": ["a:m", ""]}, "a name is missing"),
        ({"x": []}, "a chain needs a member @ routes.failover.models.x"),
        ({"x": "[wight=3]a:m|b:m"}, "there are: weight. @ routes.failover.models.x"),
        ({"x": {"on": ["rate_limitd"]}}, "no class of failure is called 'rate_limitd'; did you mean 'rate_limited'?"),
        ({"x": {"attempts": 0}}, "attempts must be a number from 1 on, found 0"),
        ({"x": {"rounds": 0}}, "rounds must be a number from 1 on, found 0"),
        ({"x": {"wait": -1.0}}, "wait must be a number from 0 on"),
        ({"x": {"deadline": float("nan")}}, "deadline must be a number from 0 on"),
    ],
)
def test_a_bad_policy_stops_the_start(models: dict[str, Any], words: str) -> None:
    """With its place and what to write instead."""
    read = {name: Policy(**one) if isinstance(one, dict) else one for name, one in models.items()}
    with pytest.raises(ConfigError) as caught:
        Failover(models=read)

    assert words in str(caught.value)


def test_a_bad_policy_in_yaml(toybox: Toybox) -> None:
    """Is a mistake of the configuration like others."""
    with pytest.raises(ConfigError, match=r"@ routes\[0\].failover.models.x"):
        built(toybox, Player(), models={"x": {"chian": "a:m"}})


@pytest.mark.parametrize(
    "model", ["a:m|", "|a:m", "a:m||b:m", "[weight]a:m|b:m", "[patience=0]a:m|b:m", "[patience=2a:m|b:m", "[a]b"]
)
async def test_a_bad_name_is_the_clients_fault(toybox: Toybox, model: str) -> None:
    """It is told which field, and nobody is asked."""
    failure, one = await asked(built(toybox, *abc(reply("a"), reply("b"))), model)

    assert isinstance(failure, InvalidField)
    assert ("model", []) == (failure.param, one.attempts)


async def test_other_names_cost_nothing(toybox: Toybox) -> None:
    """A plain name without a policy has no chain."""
    gateway = built(toybox, *abc(reply("a"), reply("b")), models={"other": ["a:m"]})

    assert gateway.hook.route(exchange=exchange(gateway), request=request(model="a:m")) is None


async def test_who_may_not_have_a_member(toybox: Toybox) -> None:
    """Is refused it in a chain, too, whatever it begins with; one of the deployment's is another thing."""
    principal = Principal("team", models=("a:*",), routes=("fast*",))
    players = abc(fails(), reply("b"))
    gateway = built(toybox, *players, models={"fast": ["a:m", "b:m"]})

    refused, _ = await asked(gateway, "fast|b:m", principal=principal)
    assert isinstance(refused, Forbidden) and [] == players[1].asked
    assert "b" == (await asked(gateway, "fast", principal=principal))[0]


# ---- by chance ----------------------------------------------------------------------------------


@pytest.mark.parametrize("weights", [(1, 1), (3, 1), (1, 2, 7), (0.5, 0.25)])
async def test_weights(toybox: Toybox, weights: tuple[float, ...]) -> None:
    """Who has twice the weight comes first twice as often, over 10,000 draws."""
    one = Failover()
    one._random = random.Random(7)
    gateway = built(toybox, *abc(*[reply(name) for name in "abc"[: len(weights)]]))
    name = "^".join(f"[weight={weight}]{letter}:m" for letter, weight in zip("abc", weights, strict=False))
    first: Counter[str] = Counter()
    at, asking = exchange(gateway), request(model=name)
    for _ in range(10_000):
        at.names = 0
        route = one.route(exchange=at, request=asking)
        assert route is not None
        async with aclosing(route) as steps:
            target = await next_step(steps, None)
            assert isinstance(target, Target)
            first[target.backend] += 1

    for letter, weight in zip("abc", weights, strict=False):
        assert abs(first[letter] / 10_000 - weight / sum(weights)) < 0.02


async def test_who_fails_leaves_it_to_the_others(toybox: Toybox) -> None:
    """Each of those that ``^`` joins is tried, in some order."""
    _, one = await asked(built(toybox, *abc(fails(), fails(), fails())), "a:m^b:m^c:m")

    assert ["a", "b", "c"] == sorted(attempt.target.backend for attempt in one.attempts)


async def test_by_chance_within_a_chain(toybox: Toybox) -> None:
    """``|`` binds less: the last comes last."""
    _, one = await asked(built(toybox, *abc(fails(), fails(), fails())), "a:m^b:m|c:m")

    assert (["a", "b"], "c") == (sorted(each.target.backend for each in one.attempts[:2]), one.attempts[2].target.backend)


# ---- retry-after --------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["rate_limited", "overloaded", "billing", "upstream_error"])
async def test_a_target_is_left_alone_for_as_long_as_it_said(toybox: Toybox, kind: str) -> None:
    """Other requests go by it, and come back when the time is over."""
    clock, [a, _] = FakeClock(), (players := abc(fails(kind, 60.0), reply("b")))
    gateway = built(toybox, *players, clock=clock)
    accounts = []
    for second in (0, 0, 59, 60):
        clock.now = 1000.0 + second
        accounts.append(tried((await asked(gateway, "a:m|b:m"))[1]))

    assert [f"a={kind} b=ok", "b=ok", "b=ok", f"a={kind} b=ok"] == accounts
    assert 2 == len(a.asked)


async def test_by_all_who_share_the_state(toybox: Toybox) -> None:
    """Another gateway hears of it."""
    clock, players = FakeClock(), abc(fails("rate_limited", 60.0), reply("b"))
    one, other = built(toybox, *players, clock=clock), built(toybox, *players, clock=clock)
    other.state = one.state
    await asked(one, "a:m|b:m")

    assert "b=ok" == tried((await asked(other, "a:m|b:m"))[1])


async def test_who_asks_for_one_target_has_no_other(toybox: Toybox) -> None:
    """Outside of a chain it is asked all the same."""
    gateway = built(toybox, *abc(fails("rate_limited", 60.0), reply("b")))
    await asked(gateway, "a:m|b:m")

    assert "a=rate_limited" == tried((await asked(gateway, "a:m"))[1])


async def test_when_all_are_left_alone(toybox: Toybox) -> None:
    """The client hears of the first that may be asked again, and nobody is asked."""
    clock = FakeClock()
    gateway = built(
        toybox, *abc(fails("rate_limited", 60.0), fails("overloaded", 30.0), fails("rate_limited", 90.0)), clock=clock
    )
    await asked(gateway, "a:m|b:m|c:m")
    clock.now += 10
    failure, one = await asked(gateway, "a:m|b:m|c:m")

    assert isinstance(failure, Resting)
    assert (503, 20.0, []) == (failure.status, failure.retry_after, one.attempts)


async def test_other_models_are_asked(toybox: Toybox) -> None:
    """What one model says is not said of another of the same back-end."""
    gateway = built(toybox, *abc(fails("rate_limited", 60.0), reply("b")))
    await asked(gateway, "a:m|b:m")

    assert "a=rate_limited b=ok" == tried((await asked(gateway, "a:other|b:m"))[1])


async def test_nobody_rests_for_ever(toybox: Toybox) -> None:
    """Who wants to be left alone until tomorrow is asked again in an hour."""
    clock = FakeClock()
    gateway = built(toybox, *abc(fails("rate_limited", 86_400.0), reply("b")), clock=clock)
    await asked(gateway, "a:m|b:m")
    clock.now += 3600

    assert "a=rate_limited b=ok" == tried((await asked(gateway, "a:m|b:m"))[1])


@define(eq=False)
class Keys(Guard):
    """Tries a target with two keys."""

    def attempts(self, target: Target, onward: Onward) -> Route:
        return self._attempts(target, onward)

    async def _attempts(self, target: Target, onward: Onward) -> Route:
        held: Resting | None = None
        for key in ("one", "two"):
            failure: GatewayError | None = None
            held = None
            async with aclosing(onward(evolve(target, credential=key))) as inner:
                try:
                    while (step := await next_step(inner, failure)) is not None:
                        failure = yield step
                except Resting as resting:
                    held = resting
        if held is not None:
            raise held


KEYED = plugin(open_guard=lambda exchange: Keys(), route=lambda exchange, request: None)


@pytest.mark.parametrize("keys_first", [False, True])
async def test_one_keys_limit_is_not_the_targets(toybox: Toybox, keys_first: bool) -> None:
    """While another key works nothing rests but that key."""
    a, b = Player.of(fails("rate_limited", 60.0), reply("a"), name="a"), Player.of(reply("b"), name="b")
    [keys] = toybox.install(KEYED)
    routes = [keys, "failover"] if keys_first else ["failover", keys]
    gateway = toybox.gateway(serving(a, b), clock=FakeClock().clock, routes=routes, defaults=ALONE)

    assert "a=rate_limited a=ok" == tried((await asked(gateway, "a:m|b:m"))[1])
    words, one = await asked(gateway, "a:m|b:m")
    assert ("a", ["two" if keys_first else "one"]) == (words, [each.target.credential for each in one.attempts])


async def test_when_all_keys_are_limited(toybox: Toybox) -> None:
    """The target rests."""
    beside = [KEYED]
    gateway = built(toybox, *abc(fails("rate_limited", 60.0), reply("b")), beside=beside)

    assert "a=rate_limited a=rate_limited b=ok" == tried((await asked(gateway, "a:m|b:m"))[1])
    assert "b=ok" == tried((await asked(gateway, "a:m|b:m"))[1])


# ---- limits -------------------------------------------------------------------------------------


@pytest.mark.parametrize("attempts", [1, 2, 3])
async def test_so_many_attempts(toybox: Toybox, attempts: int) -> None:
    """And no more, keys and rounds counted."""
    gateway = built(toybox, *abc(fails(), fails(), fails(), fails()), attempts=attempts, rounds=3)
    _, one = await asked(gateway, "a:m|b:m|c:m|d:m")

    assert attempts == len(one.attempts)
    assert f"no further target: {attempts} attempts are all that is allowed" in one.remarks


async def test_keys_are_attempts(toybox: Toybox) -> None:
    """A second key of a target that the limit does not allow is not tried."""
    beside = [KEYED]
    _, one = await asked(built(toybox, *abc(fails(), reply("b")), attempts=1, beside=beside), "a:m|b:m")

    assert "a=overloaded" == tried(one)


async def test_the_deadline(toybox: Toybox) -> None:
    """No further target is tried once it is over."""
    clock, slow = FakeClock(), asyncio.Event()
    gateway = built(toybox, *abc([slow, *fails()], reply("b")), clock=clock, deadline=30.0)
    running = asyncio.ensure_future(asked(gateway, "a:m|b:m"))
    await turns()
    clock.now += 30
    slow.set()
    failure, one = await running

    assert isinstance(failure, UpstreamError) and "no further target: 30 s are over" in one.remarks
    assert "a=overloaded" == tried(one)


# ---- rounds -------------------------------------------------------------------------------------


async def test_another_round(toybox: Toybox) -> None:
    """All are tried again, after a pause."""
    clock = FakeClock()
    a = Player.of(fails(), reply("a"), name="a")
    gateway = built(toybox, a, *abc([], fails())[1:], clock=clock, rounds=2)
    running = asyncio.ensure_future(asked(gateway, "a:m|b:m"))
    await turns()
    assert not running.done()
    await clock.advance(0.5, step=0.5)
    words, one = await running

    assert ("a", "a=overloaded b=overloaded a=ok") == (words, tried(one))


async def test_a_single_target_is_asked_again(toybox: Toybox) -> None:
    """So often as there are rounds, and not more: rounds do not multiply."""
    clock = FakeClock()
    gateway = built(toybox, *abc(fails(), reply("b")), clock=clock, rounds=3)
    running = asyncio.ensure_future(asked(gateway, "a:m"))
    await clock.advance(5)
    _, one = await running

    assert "a=overloaded a=overloaded a=overloaded" == tried(one)


@pytest.mark.parametrize("model", ["a:m^b:m|a:n", "two|a:n"])
async def test_rounds_of_an_inner_chain(toybox: Toybox, model: str) -> None:
    """They are those of the whole."""
    clock = FakeClock()
    gateway = built(toybox, *abc(fails(), fails()), clock=clock, rounds=2, models={"t*": {"chain": ["a:m", "b:m"], "rounds": 1}})
    running = asyncio.ensure_future(asked(gateway, model))
    await clock.advance(5)
    _, one = await running

    assert 6 == len(one.attempts)


@define(eq=False)
class Sleeps(FakeClock):
    """A clock that notes pauses and does not wait."""

    pauses: list[float] = field(factory=list)

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


@pytest.fixture
def sleeps() -> Sleeps:
    """Pauses that take no time."""
    return Sleeps()


async def test_pauses_grow(toybox: Toybox, sleeps: Sleeps) -> None:
    """Each is drawn from between half and all of twice the one before."""
    gateway = built(toybox, *abc(fails()), clock=sleeps, rounds=6, pause=1.0, wait=60.0)
    for _ in range(50):
        sleeps.pauses.clear()
        await asked(gateway, "a:m")
        assert [True] * 5 == [2**n / 2 <= pause <= 2**n for n, pause in enumerate(sleeps.pauses)]


async def test_pauses_are_drawn(toybox: Toybox, sleeps: Sleeps) -> None:
    """Many who failed at once do not come back at once."""
    gateway = built(toybox, *abc(fails()), clock=sleeps, rounds=2)
    for _ in range(50):
        await asked(gateway, "a:m")

    assert 50 == len(set(sleeps.pauses))


async def test_a_pause_is_as_long_as_was_asked_for(toybox: Toybox, sleeps: Sleeps) -> None:
    """And then the target is asked again."""
    gateway = built(toybox, Player.of(fails("rate_limited", 7.0), reply("a"), name="a"), clock=sleeps, rounds=2)

    assert ("a", [7.0]) == ((await asked(gateway, "a:m"))[0], sleeps.pauses)


@pytest.mark.parametrize("limit", [{"wait": 6.0}, {"deadline": 7.0}])
async def test_a_pause_that_is_too_long(toybox: Toybox, sleeps: Sleeps, limit: dict[str, Any]) -> None:
    """Is not waited for: the client is told at once."""
    failure, one = await asked(built(toybox, *abc(fails("rate_limited", 7.0)), clock=sleeps, rounds=2, **limit), "a:m")

    assert isinstance(failure, UpstreamError)
    assert (7.0, [], "no further round: it would have to wait for 7.0 s") == (failure.retry_after, sleeps.pauses, one.remarks[-1])


async def test_no_round_after_what_is_not_to_be_repeated(toybox: Toybox, sleeps: Sleeps) -> None:
    """The client's own fault is no better the second time."""
    _, one = await asked(built(toybox, *abc(fails("invalid_request")), clock=sleeps, rounds=3), "a:m")

    assert ("a=invalid_request", []) == (tried(one), sleeps.pauses)


async def test_the_client_leaves_in_a_pause(toybox: Toybox) -> None:
    """Nobody is asked any more."""
    players = abc(fails())
    running = asyncio.ensure_future(asked(built(toybox, *players, rounds=3), "a:m"))
    await turns()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running

    assert ["open", "close"] == players[0].log


async def test_the_client_leaves_in_an_attempt(toybox: Toybox) -> None:
    """It is closed, and no other follows."""
    players = abc([asyncio.Event()], reply("b"))
    running = asyncio.ensure_future(asked(built(toybox, *players), "a:m|b:m"))
    await until(lambda: players[0].log)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running

    assert (["open", "close"], []) == (players[0].log, players[1].log)


# ---- over sockets -------------------------------------------------------------------------------

LIMITED = whole(
    {"error": {"message": "Too fast.", "type": "x", "param": None, "code": "rate_limit_exceeded"}}, 429, retry_after="60"
)
TOO_LONG = whole({"error": {"message": "Too long.", "type": "x", "code": "context_length_exceeded"}}, 400)
WRONG = whole({"error": {"message": "No.", "type": "invalid_request_error", "code": None, "param": "n"}}, 400)
DOWN = whole(b"<html>Bad gateway</html>", 502)


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

    def config(self, **options: Any) -> dict[str, Any]:
        """A gateway for all of them."""
        backends = {name: {"type": "openai-compatible", "base_url": one.base_url} for name, one in self.all.items()}
        return {"backends": backends, "routes": [{"failover": options}], "defaults": {**ALONE, "echo": False}}


async def posted(running: RunningGateway, body: Any) -> tuple[aiohttp.ClientResponse, str]:
    """The response, with its headers, and its text."""
    async with running.http.post(running.url + "/v1/chat/completions", json=body) as response:
        return response, await response.text()


@pytest.fixture
async def providers() -> Any:
    """Providers until the test ends."""
    async with AsyncExitStack() as stack:
        yield Providers(stack)


@pytest.mark.parametrize("streamed", [False, True])
async def test_over_sockets(providers: Providers, streamed: bool) -> None:
    """A client hears the answer of the first that has one, and a header tells what was tried."""
    good = stream(*chunks("From c."), "[DONE]") if streamed else whole(answer("From c."))
    for one in (LIMITED, DOWN, good):
        await providers.add(one)
    async with run_gateway(providers.config()) as running:
        asking = question(model="a:m|b:m|c:m", stream=streamed)
        response, text = await posted(running, asking)

    assert (200, "From c.") == (response.status, streamed_text(text) if streamed else text_of(json.loads(text)))
    assert "a:m=rate_limited, b:m=upstream_error, c:m=ok" == response.headers["x-llmgw-attempts"]


async def test_the_last_failure_over_sockets(providers: Providers) -> None:
    """With its status, when to come again, and the account."""
    await providers.add(DOWN)
    await providers.add(LIMITED)
    async with run_gateway(providers.config()) as running:
        response, text = await posted(running, question(model="a:m|b:m"))

    assert "rate_limit_exceeded" == error_in(json.loads(text))["code"]
    assert (429, "60") == (response.status, response.headers["retry-after"])
    assert "a:m=upstream_error, b:m=rate_limited" == response.headers["x-llmgw-attempts"]


async def test_the_clients_fault_over_sockets(providers: Providers) -> None:
    """A 400 of its own making comes back at once, in the provider's words."""
    await providers.add(WRONG)
    other = await providers.add(whole(answer()))
    async with run_gateway(providers.config()) as running:
        status, body = await running.post(question(model="a:m|b:m"))

    assert (400, "No.", []) == (status, error_in(body)["message"], other.seen)


async def test_what_is_too_long_goes_to_a_larger_model(providers: Providers) -> None:
    """The next one may have room for it."""
    await providers.add(TOO_LONG)
    await providers.add(whole(answer("Fits.")))
    async with run_gateway(providers.config()) as running:
        _, body = await running.post(question(model="a:small|b:large"))

    assert "Fits." == text_of(body)


@pytest.mark.parametrize("dropped", [(), (ROLE,), (b": ping\n\n", ROLE)])
async def test_a_connection_that_breaks_before_the_commit(providers: Providers, dropped: tuple[Any, ...]) -> None:
    """Nothing was said: another is asked."""
    await providers.add(stream(*dropped, Break()))
    await providers.add(stream(*chunks("From b."), "[DONE]"))
    async with run_gateway(providers.config()) as running:
        _, text = await running.post(question(model="a:m|b:m", stream=True))

    assert "From b." == streamed_text(text)
    assert 1 == text.count('"role"')


async def test_a_connection_that_breaks_behind_it(providers: Providers) -> None:
    """The client gets what came, an error in its dialect, and nothing of another target."""
    await providers.add(stream(ROLE, chunk({"content": "Half"}), Break()))
    other = await providers.add(stream(*chunks("From b."), "[DONE]"))
    async with run_gateway(providers.config()) as running:
        _, text = await running.post(question(model="a:m|b:m", stream=True))

    assert ("Half", []) == (streamed_text(text), other.seen)
    [error] = [frame for frame in frames(text) if isinstance(frame, dict) and "error" in frame]
    assert "broke off" in error_in(error)["message"]
    assert "[DONE]" not in frames(text)[:-1]


async def test_patience(providers: Providers) -> None:
    """Who is silent for so long is left, its connection closed."""
    clock = FakeClock()
    silent = await providers.add(stream(ROLE, Hang()))
    await providers.add(stream(*chunks("From b."), "[DONE]"))
    async with run_gateway(providers.config(), clock=clock.clock) as running:
        going = asyncio.ensure_future(running.post(question(model="[patience=2]a:m|b:m", stream=True)))
        await until(lambda: silent.seen and any(one.reads for one in running.gateway.exchanges))
        await clock.advance(1)
        assert not going.done()
        await clock.advance(2)
        _, text = await going
        await asyncio.wait_for(silent.left.wait(), 5)

    assert "From b." == streamed_text(text)


async def test_patience_ends_with_the_first_word(providers: Providers) -> None:
    """Who has begun may take its time."""
    clock, go = FakeClock(), asyncio.Event()
    slow = await providers.add(
        stream(ROLE, chunk({"content": "Slow"}), Wait(go), chunk({"content": "ly"}), chunk({}, "stop"), "[DONE]")
    )
    other = await providers.add(whole(answer()))
    async with run_gateway(providers.config(), clock=clock.clock) as running:
        going = asyncio.ensure_future(running.post(question(model="[patience=2]a:m|b:m", stream=True)))
        await until(lambda: slow.seen and any(one.committed for one in running.gateway.exchanges))
        await clock.advance(10)
        go.set()
        _, text = await going

    assert ("Slowly", []) == (streamed_text(text), other.seen)


async def test_a_client_that_leaves(providers: Providers) -> None:
    """The provider's connection is closed, and no further one is opened."""
    slow = await providers.add(stream(ROLE, Hang()))
    other = await providers.add(whole(answer()))
    async with run_gateway(providers.config()) as running:
        going = asyncio.ensure_future(running.post(question(model="a:m|b:m", stream=True)))
        await asyncio.wait_for(slow.asked.wait(), 5)
        going.cancel()
        await asyncio.wait_for(slow.left.wait(), 5)
        await until(lambda: not running.gateway.exchanges)

    assert [] == other.seen


async def test_names_that_are_no_header(providers: Providers) -> None:
    """Whatever a client calls a model, the account stays one line of plain text."""
    await providers.add(DOWN)
    await providers.add(DOWN)
    async with run_gateway(providers.config()) as running:
        asking = question(model="a:m\r\nset-cookie:\u2028x|b:\x00\u00e4")
        response, _ = await posted(running, asking)

    assert 502 == response.status and "set-cookie" not in response.headers
    assert "a:m??set-cookie:?x=upstream_error, b:??=upstream_error" == response.headers["x-llmgw-attempts"]


@pytest.mark.parametrize("model", ["a:m|b:m", "nope|a:m", "fast"])
async def test_counting_over_a_chain(toybox: Toybox, model: str) -> None:
    """The first target that there is counts."""

    class Counting(Player):
        async def count(self, exchange: Exchange, target: Target, request: Request) -> Count:
            return Count(42)

    gateway = built(toybox, Counting(name="a"), *abc([], reply("b"))[1:], models={"fast": ["a:m", "b:m"]})

    assert Count(42) == await pipeline.count(exchange(gateway), request(model=model))
