from __future__ import annotations

import logging
import random
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Any

import pytest
from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st

from llmgw import (
    CredentialState,
    CredentialUnusable,
    Exchange,
    Gateway,
    GatewayError,
    Principal,
    Request,
    Resting,
    Target,
    Unsupported,
    UpstreamError,
)
from llmgw.errors import Kind
from llmgw.events import Error, Event
from llmgw.pipeline import answer
from llmgw.state import MemoryStore
from llmgw_key_rotation import KeyRotation
from llmgw_key_rotation.keys import Rings, Seen
from llmgw_testing import FakeClock, Provider, run_gateway, whole
from tests.toys import Player, Toybox, default_set, exchange, opening, reply, request, serving

ALONE = dict.fromkeys({"auth-key", "key-rotation", "circuit-breaker"}.intersection(default_set()), False)
"""Nothing else stands before a target than what a test names."""

Behaviour = Callable[[], Sequence[Event | BaseException]]


def fails(kind: Kind, retry_after: float | None = None) -> Behaviour:
    """A key with which the provider refuses."""
    return lambda: [UpstreamError("No.", kind=kind, retry_after=retry_after)]


def breaks(kind: Kind, retry_after: float | None = None) -> Behaviour:
    """A key with which a reply begins and breaks off."""
    return lambda: [*opening("Hel"), Error(error=UpstreamError("No.", kind=kind, retry_after=retry_after))]


@define(eq=False)
class Keyed(Player):
    """A back-end with keys, each of which may be good or not."""

    names: Sequence[str] = ("K1", "K2", "K3")
    prints: dict[str, str] = field(factory=dict)
    does: dict[str, Behaviour] = field(factory=dict)
    problems_of: dict[str, str] = field(factory=dict)

    @property
    def credentials(self) -> Sequence[CredentialState]:
        return [
            CredentialState(name, f"key from {name}", self.problems_of.get(name, ""), None, self.prints.get(name, f"f-{name}"))
            for name in self.names
        ]

    async def stream(self, exchange: Exchange, target: Target, request: Request) -> AsyncGenerator[Event, None]:
        self.asked.append((target, request))
        for step in self.does.get(target.credential, lambda: reply("Hello"))():
            if isinstance(step, BaseException):
                raise step
            yield step  # type: ignore[misc]

    @property
    def used(self) -> list[str]:
        """With which keys it was asked."""
        return [target.credential for target, _ in self.asked]


@define(eq=False)
class Bench:
    """Workers that share a state and a clock, and a back-end."""

    toybox: Toybox
    backend: Keyed = field(factory=Keyed)
    clock: FakeClock = field(factory=FakeClock)
    options: dict[str, Any] = field(factory=dict)
    workers: list[Gateway] = field(factory=list)
    store: MemoryStore = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.store = MemoryStore(self.clock.clock.monotonic)

    def worker(self, **options: Any) -> Gateway:
        """One more, perhaps with other options."""
        given = {"keep": 0.0, **self.options, **options}
        plugins = [{"key-rotation": given}]
        made = self.toybox.gateway(serving(self.backend), clock=self.clock.clock, routes=plugins, defaults=ALONE)
        made.state = self.store
        self.workers.append(made)
        return made

    async def ask(self, worker: int = 0, model: str = "m", **more: Any) -> GatewayError | None:
        """One exchange from its beginning to its end; with what it failed."""
        while len(self.workers) <= worker:
            self.worker()
        one = exchange(self.workers[worker], **more)
        error: GatewayError | None = None
        try:
            async with aclosing(await answer(one, request(model=f"toy:{model}"))) as events:
                async for event in events:
                    error = event.error if isinstance(event, Error) else error
        except GatewayError as raised:
            error = raised
        if error is not None and one.committed and one.attempt is not None:
            one.attempt.failure = error
        for ending in reversed(one.endings):
            await ending(error)
        return error

    async def rows(self, worker: int = 0) -> list[Any]:
        """What the status says of the keys."""
        return [row for report in await self.workers[worker].reports() if report.title == "keys" for row in report.rows]


@pytest.fixture
def bench(toybox: Toybox) -> Bench:
    """One whose conversations do not keep their keys."""
    return Bench(toybox)


# ---- which keys ---------------------------------------------------------------------------------


async def test_one_after_the_other(bench: Bench) -> None:
    """Requests go round over all keys."""
    for _ in range(6):
        await bench.ask()
    assert ["K1", "K2", "K3"] * 2 == bench.backend.used


async def test_over_all_workers(bench: Bench) -> None:
    """They share the round."""
    for number in range(6):
        await bench.ask(number % 2)
    assert ["K1", "K2", "K3"] * 2 == bench.backend.used


async def test_the_only_key_is_never_held_back(bench: Bench) -> None:
    """It is asked with again after a limit, and the client hears what the provider said."""
    bench.backend.names, bench.backend.does = ["K1"], {"K1": fails("rate_limited", 60)}
    errors = [await bench.ask() for _ in range(2)]
    assert ["default", "default"] == bench.backend.used
    assert not any(isinstance(error, Resting) for error in errors)


async def test_no_key_without_value(bench: Bench) -> None:
    """One that has a problem is none."""
    bench.backend.problems_of = {"K2": "not set"}
    for _ in range(4):
        await bench.ask()
    assert ["K1", "K3", "K1", "K3"] == bench.backend.used


async def test_the_same_key_twice(bench: Bench) -> None:
    """Two variables with the same value are one key: the first."""
    bench.backend.prints = {"K1": "same", "K2": "same"}
    for _ in range(4):
        await bench.ask()
    assert ["K1", "K3", "K1", "K3"] == bench.backend.used


async def test_a_target_that_names_its_key(bench: Bench) -> None:
    """It is left as it is."""
    guard = bench.worker().hook.open_guard(exchange=exchange(bench.workers[0]))[0]
    target = Target("toy", "m", "K2")

    async def onward(one: Target) -> Any:
        yield one

    route = guard.attempts(target, onward)
    assert target is await anext(route)
    await route.aclose()


async def test_fill_first(bench: Bench) -> None:
    """The first one that is not at its limit."""
    bench.options = {"strategy": "fill-first"}
    await bench.ask()
    bench.backend.does["K1"] = fails("rate_limited", 60)
    await bench.ask()
    await bench.ask()
    assert ["K1", "K1", "K2", "K2"] == bench.backend.used


async def test_least_used(bench: Bench) -> None:
    """By uses over all workers; a key that has rested is then used more."""
    bench.options = {"strategy": "least-used"}
    bench.backend.does["K1"] = fails("rate_limited", 20)
    for number in range(5):
        await bench.ask(number % 2)
    assert ["K1", "K2", "K3", "K2", "K3", "K2"] == bench.backend.used
    del bench.backend.does["K1"]
    bench.clock.now += 20
    bench.backend.asked.clear()
    for _ in range(2):
        await bench.ask()
    assert ["K1", "K1"] == bench.backend.used


async def test_a_back_end_with_a_strategy_of_its_own(bench: Bench) -> None:
    """It goes before what holds for the others."""
    bench.options = {"backends": {"toy": "fill-first"}}
    for _ in range(3):
        await bench.ask()
    assert ["K1"] * 3 == bench.backend.used


# ---- failures -----------------------------------------------------------------------------------


async def test_a_limit_leads_to_the_next_key(bench: Bench) -> None:
    """The client does not hear of it; others of all workers leave the key alone until the provider's time."""
    bench.backend.does["K1"] = fails("rate_limited", 60)
    assert None is await bench.ask()
    for _ in range(4):
        await bench.ask(1)
    assert "K1" not in bench.backend.used[1:]
    bench.clock.now += 60
    bench.backend.asked.clear()
    for _ in range(3):
        await bench.ask(1)
    assert "K1" in bench.backend.used


async def test_a_limit_is_a_models(bench: Bench) -> None:
    """The key is good for others."""
    bench.options = {"strategy": "fill-first"}
    bench.backend.does["K1"] = fails("rate_limited", 60)
    await bench.ask()
    bench.backend.does.clear()
    await bench.ask(model="other")
    assert "K1" == bench.backend.used[-1]


async def test_a_limit_without_a_time(bench: Bench) -> None:
    """The key rests for a second, and longer each time."""
    bench.options = {"strategy": "fill-first"}
    bench.backend.does["K1"] = fails("rate_limited")
    for longest in (1.0, 2.0, 4.0):
        bench.backend.asked.clear()
        await bench.ask()
        bench.clock.now += longest * 0.79
        await bench.ask()
        assert ["K1", "K2", "K2"] == bench.backend.used
        bench.clock.now += longest * 0.22


async def test_without_money_a_key_rests_for_all_models(bench: Bench) -> None:
    """For an hour, where nobody says until when."""
    bench.options = {"strategy": "fill-first"}
    bench.backend.does["K1"] = fails("billing")
    await bench.ask()
    bench.clock.now += 3599
    await bench.ask(model="other")
    assert ["K1", "K2", "K2"] == bench.backend.used
    bench.clock.now += 1
    await bench.ask(model="other")
    assert "K1" == bench.backend.used[3]


async def test_a_refused_key_leaves(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """For a day, with one warning over all workers that names its variable."""
    bench.options = {"strategy": "fill-first"}
    bench.backend.does["K1"] = fails("authentication")
    for number in range(3):
        assert None is await bench.ask(number)
        bench.clock.now += 3600
    assert ["K1", "K2", "K2", "K2"] == bench.backend.used
    assert 1 == sum("refuses the key of K1" in record.getMessage() for record in caplog.records)
    bench.clock.now += 86400
    await bench.ask()
    assert ["K1", "K2"] == bench.backend.used[-2:]


async def test_another_value_is_another_key(bench: Bench) -> None:
    """A variable that has got a new value is used at once."""
    bench.options = {"strategy": "fill-first"}
    bench.backend.does["K1"] = fails("authentication")
    await bench.ask()
    bench.backend.does.clear()
    bench.backend.prints["K1"] = "renewed"
    bench.clock.now += 10
    await bench.ask()
    assert ["K1", "K2", "K1"] == bench.backend.used


async def test_all_refused(bench: Bench) -> None:
    """It may be the provider's fault: they are tried again in a minute, not in a day."""
    bench.backend.does = dict.fromkeys(bench.backend.names, fails("authentication"))
    error = await bench.ask()
    assert (Resting, "authentication", 401, 60) == (type(error), error.kind, error.status, error.retry_after)  # type: ignore[union-attr]
    bench.clock.now += 60
    bench.backend.does.clear()
    assert None is await bench.ask()


async def test_a_login_that_has_ended(bench: Bench) -> None:
    """Whoever logs in again need not wait for a day."""
    bench.options = {"strategy": "fill-first"}
    bench.backend.does["K1"] = lambda: [CredentialUnusable("Log in.")]
    await bench.ask()
    bench.backend.does.clear()
    bench.clock.now += 60
    await bench.ask()
    assert ["K1", "K2", "K1"] == bench.backend.used


async def test_a_key_that_may_not(bench: Bench) -> None:
    """Where another may, it is left out for this model, and for no other."""
    bench.options = {"strategy": "fill-first"}
    bench.backend.does["K1"] = fails("permission")
    for model in ("m", "m", "other"):
        await bench.ask(model=model)
    assert ["K1", "K2", "K2", "K1", "K2"] == bench.backend.used


async def test_what_no_key_may(bench: Bench) -> None:
    """SECURITY: a request that the provider refuses to all takes no key away from others, and is told as it was."""
    bench.backend.does = dict.fromkeys(bench.backend.names, fails("permission"))
    error = await bench.ask()
    assert ("No.", "permission", 3) == (error and error.message, error and error.kind, len(bench.backend.used))
    bench.backend.does.clear()
    assert None is await bench.ask()


@pytest.mark.parametrize(
    "kind", ["overloaded", "upstream_error", "timeout", "context_length", "content_policy", "model_not_found"]
)
async def test_what_is_not_the_keys_fault(bench: Bench, kind: Kind) -> None:
    """No other key is tried, and the key does not rest."""
    bench.options = {"strategy": "fill-first"}
    bench.backend.does["K1"] = fails(kind, 60)
    for _ in range(2):
        error = await bench.ask()
        assert (kind, "No.") == (error and error.kind, error and error.message)
    assert ["K1", "K1"] == bench.backend.used


async def test_what_is_the_clients_fault(bench: Bench) -> None:
    """Neither."""
    bench.backend.does["K1"] = lambda: [Unsupported("No.")]
    assert isinstance(await bench.ask(), Unsupported)
    assert ["K1"] == bench.backend.used


async def test_all_keys_rest(bench: Bench) -> None:
    """The client hears when the first one is back, and nobody is asked."""
    bench.backend.does = {f"K{number}": fails("rate_limited", 10.0 * number) for number in (1, 2, 3)}
    first = await bench.ask()
    bench.clock.now += 4
    second = await bench.ask(1)
    assert 3 == len(bench.backend.used)
    assert [10, 6] == [error and error.retry_after for error in (first, second)]
    assert isinstance(second, Resting)
    assert (429, "rate_limited") == (second.status, second.kind)
    assert "All 3 keys of the back-end 'toy' rest (the next one after 'rate_limited'). Ask again in 6 s." == second.message


async def test_a_reply_that_breaks_off(bench: Bench) -> None:
    """A limit that is met in the middle of a reply is the key's as well."""
    bench.options = {"strategy": "fill-first"}
    bench.backend.does["K1"] = breaks("rate_limited", 60)
    await bench.ask()
    await bench.ask()
    assert ["K1", "K2"] == bench.backend.used


# ---- conversations ------------------------------------------------------------------------------


async def test_a_conversation_keeps_its_key(bench: Bench) -> None:
    """Over all workers, while others go round."""
    bench.options = {"keep": 3600.0}
    for number in range(6):
        await bench.ask(number % 2, session=f"s{number % 3}")
    assert ["K1", "K2", "K3"] * 2 == bench.backend.used


async def test_clients_share_no_conversation(bench: Bench) -> None:
    """SECURITY: the same name of another client is another conversation."""
    bench.options = {"keep": 3600.0}
    for name in ("alice", "bob", "alice", "bob"):
        await bench.ask(session="s", principal=Principal(name))
    assert ["K1", "K2", "K1", "K2"] == bench.backend.used


async def test_a_conversation_whose_key_rests(bench: Bench) -> None:
    """It gets another, and stays with that one."""
    bench.options = {"keep": 3600.0}
    await bench.ask(session="s")
    bench.backend.does["K1"] = fails("rate_limited", 10)
    await bench.ask(session="s")
    second = bench.backend.used[-1]
    bench.backend.does.clear()
    bench.clock.now += 10
    for _ in range(3):
        await bench.ask(session="s")
    assert [second] * 3 == bench.backend.used[-3:]
    assert "K1" != second


async def test_only_success_is_remembered(bench: Bench) -> None:
    """A conversation is not bound to a key that has failed."""
    bench.options = {"keep": 3600.0}
    bench.backend.does["K1"] = fails("overloaded")
    await bench.ask(session="s")
    await bench.ask(session="s")
    assert ["K1", "K2"] == bench.backend.used


async def test_a_conversation_goes_on_for_long(bench: Bench) -> None:
    """Each turn keeps its key for longer; after a long silence it is free."""
    bench.options = {"keep": 100.0}
    for _ in range(6):
        await bench.ask(session="s")
        bench.clock.now += 60
    assert {"K1"} == set(bench.backend.used)
    bench.clock.now += 100
    await bench.ask(session="s")
    assert "K2" == bench.backend.used[-1]


# ---- what is told -------------------------------------------------------------------------------


async def test_status(bench: Bench) -> None:
    """Each key by its variable, whether it rests, until when, and how often it was used."""
    bench.backend.does = {"K1": fails("rate_limited", 60), "K2": fails("billing")}
    await bench.ask()
    await bench.ask()
    told = [(row["key"], row["model"], row["state"], row["until"] is not None, row["uses"]) for row in await bench.rows()]
    assert [
        ("K1", "all", "used", False, 1),
        ("K1", "m", "rests: rate_limited", True, 1),
        ("K2", "all", "rests: billing", True, 1),
        ("K3", "all", "used", False, 2),
    ] == told


async def test_nothing_to_tell(bench: Bench) -> None:
    """A back-end with one key has no row, and the plugin no report."""
    bench.backend.names = ["K1"]
    bench.worker()
    assert [] == await bench.rows()


def test_models_that_are_told_of_are_bounded() -> None:
    """SECURITY: names that clients make up do not fill the memory."""
    seen = Seen(most=3)
    for number in range(10):
        seen.note("toy", f"m{number}")
    assert ["m7", "m8", "m9"] == seen.of("toy")


async def test_a_back_end_that_is_none(bench: Bench) -> None:
    """Its name is not remembered."""
    rings = Rings()
    assert () == rings.of(bench.worker(), "made up")
    assert rings._known == {}


# ---- laws ---------------------------------------------------------------------------------------

_lent: list[Bench] = []


@pytest.fixture(autouse=True)
def lent(bench: Bench) -> None:
    """Workers for all examples of a test."""
    _lent[:] = [bench]


def another(names: Sequence[str] = ("K1", "K2", "K3")) -> Bench:
    """The same workers so much later that nothing of what was holds any more."""
    bench = _lent[0]
    bench.clock.now += 1e7
    bench.backend.names = names
    bench.backend.asked.clear()
    bench.backend.does.clear()
    return bench


OUTCOMES = st.sampled_from(
    [fails("rate_limited"), fails("rate_limited", 7.0), fails("billing", 50.0), fails("overloaded"), lambda: reply("Hello")]
)


@given(st.lists(st.tuples(st.integers(0, 2), st.floats(0, 30), st.lists(OUTCOMES, min_size=3, max_size=3)), max_size=15))
async def test_a_resting_key_is_never_used(steps: list[tuple[int, float, list[Behaviour]]]) -> None:
    """Whatever happens when at which worker; and each key is used again after its rest."""
    bench = another()
    for worker, passed, behaviours in steps:
        bench.clock.now += passed
        rests = await _resting(bench)
        bench.backend.does = dict(zip(bench.backend.names, behaviours, strict=True))
        bench.backend.asked.clear()
        error = await bench.ask(worker)
        assert not set(bench.backend.used) & rests
        assert len(bench.backend.used) == len(set(bench.backend.used))
        if isinstance(error, Resting):
            assert set(bench.backend.names) == await _resting(bench)
            assert error.retry_after is not None and error.retry_after > 0
    bench.backend.does.clear()
    bench.clock.now += 100
    bench.backend.asked.clear()
    for _ in range(3):
        await bench.ask()
    assert set(bench.backend.names) == set(bench.backend.used)


async def _resting(bench: Bench) -> set[str]:
    """Keys that rest, by what the state says and by nothing of the plugin's."""
    now, found = bench.clock.clock.time(), set()
    for name in bench.backend.names:
        for suffix in ("", ":m"):
            text = await bench.store.get(f"key-rotation:rest:toy:f-{name}{suffix}")
            if text is not None and float(text.split()[0]) > now:
                found.add(name)
    return found


@given(st.integers(2, 7), st.lists(st.integers(0, 2), max_size=30))
async def test_the_round_is_even(number: int, workers: list[int]) -> None:
    """Whoever asks, no key is used more than once more than another."""
    bench = another([f"K{one}" for one in range(number)])
    for worker in workers:
        await bench.ask(worker)
    uses = Counter(bench.backend.used)
    counts = [uses[name] for name in bench.backend.names]
    assert max(counts) - min(counts) <= 1


# ---- over real sockets --------------------------------------------------------------------------

CHAT = {"model": "openai:m", "messages": [{"role": "user", "content": "Hi"}]}
ANSWER = {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [
    {"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}]}  # fmt: skip
LIMIT = {"error": {"message": "Rate limit reached", "type": "requests", "code": "rate_limit_exceeded", "param": None}}


def deployment(provider: Provider) -> dict[str, Any]:
    """OpenAI's keys, and nothing else."""
    return {
        "backends": {"openai": {"base_url": provider.base_url}},
        "routes": ["key-rotation"],
        "defaults": ALONE,
    }


async def test_the_next_variables_key_is_shown(provider: Provider) -> None:
    """A provider that is asked too often with the first key is asked with the second, and the client gets the answer."""
    provider.answers(whole(LIMIT, 429, retry_after="30"), whole(ANSWER))
    env = {"OPENAI_API_KEY": "sk-one", "OPENAI_API_KEY_2": "sk-two"}
    async with run_gateway(deployment(provider), env) as running:
        assert 200 == (await running.post(CHAT))[0]
        assert 200 == (await running.post(CHAT))[0]
    assert ["Bearer sk-one", "Bearer sk-two", "Bearer sk-two"] == [seen.headers["authorization"] for seen in provider.seen]


async def test_no_key_is_shown_anywhere(provider: Provider, caplog: pytest.LogCaptureFixture) -> None:
    """SECURITY: neither in the reply, the status, the log, nor the state."""
    caplog.set_level(logging.DEBUG)
    provider.answers(whole({"error": {"message": "Incorrect API key", "code": "invalid_api_key"}}, 401))
    env = {"OPENAI_API_KEY": "sk-one-secret", "OPENAI_API_KEY_2": "sk-two-secret"}
    async with run_gateway(deployment(provider), env) as running:
        status, told = await running.post(CHAT)
        health = await running.get("/health?verbose")
        state = running.gateway.state
        assert isinstance(state, MemoryStore)
        kept = repr(state._entries)
    assert 401 == status
    assert "secret" not in f"{told} {health} {kept} {caplog.text}"
    assert "OPENAI_API_KEY_2" in str(health) and "OPENAI_API_KEY" not in str(told)


def test_options_are_repeatable() -> None:
    """Chance is handed in."""
    plugin = KeyRotation()
    plugin._random = random.Random(1)
    assert 0.1 < plugin._random.random() < 0.2
