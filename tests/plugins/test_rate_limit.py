from __future__ import annotations

import asyncio
import math
import re
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from typing import Any, ClassVar

import aiohttp
import pluggy
import pytest
from attrs import define
from hypothesis import given
from hypothesis import strategies as st

from llmgw import (
    Bucket,
    ConfigError,
    Exchange,
    Filter,
    Gateway,
    GatewayError,
    Limits,
    Principal,
    Redo,
    Request,
    TooMany,
    UpstreamError,
    resolve,
)
from llmgw.config import AuthConfig, ClientKey, Config
from llmgw.events import BlockStop, Error, Event, Reply, ResponseEnd, Stop, StopReason, Usage, UsageUpdate
from llmgw.pipeline import answer
from llmgw.secret import Secret
from llmgw.state import MemoryStore
from llmgw.tokens import estimated
from llmgw_rate_limit import RateLimit
from llmgw_rate_limit.rules import Client, stored
from llmgw_rate_limit.sharing import active
from llmgw_testing import FakeClock, RunningGateway, run_gateway
from tests.toys import Player, Toybox, canned, default_set, exchange, filtering, opening, reply, request, routing, serving, until

SINGLE = {"LLM_INTERACTIVE_PROXY_API_KEY": "single", "ALICE_KEY": "alice-key", "BOB_KEY": "bob-key"}
NOTHING_ELSE = dict.fromkeys(default_set(), False)


def using(read: int | None, written: int | None, *words: str) -> list[Event]:
    """A reply for which the provider counted so many tokens."""
    usage = UsageUpdate(usage=Usage(input_total=read, output_total=written))
    return [*opening(*(words or ("Hello",))), BlockStop(index=0), usage, Stop(reason=StopReason("end")), ResponseEnd()]


@define(eq=False)
class Bench:
    """A gateway with limits, and a clock that stands still."""

    running: RunningGateway
    clock: FakeClock
    player: Player

    async def ask(self, model: str = "m", path: str = "/toy", **headers: str) -> int:
        """The status of one request."""
        return (await self.running.post({"model": model}, path, **headers))[0]

    async def told(self, model: str = "m", **headers: str) -> tuple[int, dict[str, Any], dict[str, str]]:
        """Status, body and headers."""
        body = {"model": model, "say": "Hi", "messages": [{"role": "user", "content": "Hi"}]}
        path = "/toy" if any(one.path == "/toy" for one in self.running.gateway.endpoints) else "/v1/chat/completions"
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.running.http.post(self.running.url + path, json=body, headers=named) as response:
            return response.status, await response.json(), {name.lower(): value for name, value in response.headers.items()}

    @asynccontextmanager
    async def asking(self, **body: Any) -> AsyncIterator[aiohttp.ClientResponse]:
        """A stream that has begun."""
        async with self.running.http.post(self.running.url + "/toy", json={"model": "m", "stream": True, **body}) as response:
            yield response

    async def row(self, name: str) -> dict[str, Any]:
        """A line of the report."""
        [report] = [one for one in await self.running.gateway.reports() if one.title == "limits"]
        return next(dict(row) for row in report.rows if row["limit"] == name)

    async def ended(self) -> None:
        """All exchanges are over."""
        await until(lambda: not self.running.gateway.exchanges)


@pytest.fixture
async def bench(toybox: Toybox) -> AsyncIterator[Any]:
    """``await bench(options)`` runs a gateway with these limits."""
    async with AsyncExitStack() as stack:

        async def make(
            *classes: type,
            before: Sequence[type] = (),
            player: Player | None = None,
            keys: Any = None,
            front: str = "",
            **options: Any,
        ) -> Bench:
            clock, player = FakeClock(), player or Player()
            rest: dict[str, Any] = {"plugins": ["auth-key"], "auth": {"keys": keys}} if keys else {}
            rest["defaults"] = NOTHING_ELSE
            rest |= {"frontends": [front]} if front else {}
            config = toybox.deployment(serving(player), *classes, **rest)
            config["filters"] = [*toybox.install(*before), {"rate-limit": options}, *config.get("filters", [])]
            running = await stack.enter_async_context(run_gateway(config, SINGLE, clock.clock))
            return Bench(running, clock, player)

        yield make


# ---- requests -----------------------------------------------------------------------------------


async def test_requests_a_minute(bench: Any) -> None:
    """What is beyond them is refused before a provider hears of it, and let through when there is room again."""
    one = await bench(default={"requests": 2})

    assert [200, 200, 429] == [await one.ask() for _ in range(3)]
    await one.clock.advance(30)
    assert [200, 429] == [await one.ask() for _ in range(2)]
    assert 3 == len(one.player.asked)


async def test_a_refusal_says_when_to_come_again(bench: Any) -> None:
    """And by which limit it is."""
    one = await bench(default={"requests": 1})
    await one.ask()
    await one.clock.advance(15)
    status, body, headers = await one.told()

    assert (429, "rate_limited", "45") == (status, body["kind"], headers["retry-after"])
    assert "Each client may make 1 requests a minute. Ask again in 45.0 s." == body["error"]


async def test_burst(bench: Any) -> None:
    """So much can be had at once, and no more flows in for it."""
    one = await bench(default={"requests": 2}, burst=2.0)

    assert [200] * 4 + [429] == [await one.ask() for _ in range(5)]
    await one.clock.advance(30)
    assert [200, 429] == [await one.ask() for _ in range(2)]


async def test_less_than_one_a_minute(bench: Any) -> None:
    """A bucket of requests holds at least one."""
    one = await bench(default={"requests": 0.5}, burst=0.1)

    assert [200, 429] == [await one.ask() for _ in range(2)]
    await one.clock.advance(120, step=10)
    assert 200 == await one.ask()


async def test_each_key_has_its_own(bench: Any) -> None:
    """One client's hurry is not another one's."""
    keys = {"alice": {"key": "env:ALICE_KEY"}, "bob": {"key": "env:BOB_KEY"}}
    one = await bench(default={"requests": 1}, keys=keys)

    assert [200, 429] == [await one.ask(x_api_key="alice-key") for _ in range(2)]
    assert [200, 429] == [await one.ask(x_api_key="bob-key") for _ in range(2)]
    assert [200, 429] == [await one.ask(x_api_key="single") for _ in range(2)]


async def test_limits_of_a_key_come_on_top(bench: Any) -> None:
    """Those of all keys hold for it as well."""
    keys = {
        "alice": {"key": "env:ALICE_KEY", "limits": {"requests": 1}},
        "bob": {"key": "env:BOB_KEY", "limits": {"requests": 9}},
    }
    one = await bench(default={"requests": 2}, keys=keys)

    assert [200, 429] == [await one.ask(x_api_key="alice-key") for _ in range(2)]
    assert [200, 200, 429] == [await one.ask(x_api_key="bob-key") for _ in range(3)]


async def test_limits_of_a_key_need_no_option(bench: Any) -> None:
    """The plugin without options looks after them."""
    one = await bench(keys={"alice": {"key": "env:ALICE_KEY", "limits": {"requests": 1}}})

    assert [200, 429] == [await one.ask(x_api_key="alice-key") for _ in range(2)]
    assert [200, 200] == [await one.ask(x_api_key="single") for _ in range(2)]


# ---- models -------------------------------------------------------------------------------------


async def test_limits_by_model(bench: Any) -> None:
    """Only for names like the pattern, and all of those together."""
    one = await bench(models={"big-*": {"requests": 1}})

    assert [200, 429, 200, 200] == [await one.ask(model) for model in ("big-1", "big-2", "small", "small")]


def named(exchange: Exchange, asked: Request) -> Any:
    """A route: ``alias`` is a name for one target, ``chain`` for two."""
    names = {"alias": ["toy:m"], "chain": ["toy:m", "spare:n"]}.get(asked.model)
    return None if names is None else following(exchange, [asked.with_model(name) for name in names])


async def following(exchange: Exchange, each: Sequence[Request]) -> AsyncGenerator[Any, GatewayError | None]:
    """One after the other, whatever happens."""
    last: GatewayError | None = None
    for one in each:
        try:
            async with aclosing(resolve(exchange, one)) as route:
                async for step in route:
                    last = yield step
        except UpstreamError as error:
            last = error
    if last is not None:
        raise last


@pytest.mark.parametrize("pattern", ["toy:m", "t*y:*", "m"])
@pytest.mark.parametrize("asked", ["toy:m", "m", "alias"])
async def test_a_target_has_its_limit_under_whatever_name(bench: Any, pattern: str, asked: str) -> None:
    """Who asks for an alias, or leaves out the back-end, comes to the same limit."""
    one = await bench(routing(named), models={pattern: {"requests": 1}})

    assert [200, 429] == [await one.ask(model) for model in ("toy:m", asked)]
    status, body, headers = await one.told(asked)
    assert (429, "rate_limited", "60") == (status, body["kind"], headers["retry-after"])
    assert f"Each client may make 1 requests a minute for '{pattern}'. Ask again in 60.0 s." == body["error"]
    assert 1 == len(one.player.asked)


async def test_a_name_has_its_own_limit(bench: Any) -> None:
    """An alias may be limited, whatever stands behind it."""
    one = await bench(routing(named), models={"alias": {"requests": 1}})

    assert [200, 429, 200] == [await one.ask(model) for model in ("alias", "alias", "toy:m")]


async def test_a_chain_goes_on_where_a_limit_is_reached(bench: Any) -> None:
    """To the next target, which has its own."""
    spare = Player(name="spare")
    one = await bench(routing(named), serving(spare), models={"toy:*": {"requests": 1}, "spare:*": {"requests": 1}})

    assert [200, 200, 429] == [await one.ask("chain") for _ in range(3)]
    assert (1, 1) == (len(one.player.asked), len(spare.asked))


async def test_what_never_was_asked_is_no_request(bench: Any) -> None:
    """Who is refused at every target has used nothing of the other limits."""
    one = await bench(routing(named), serving(Player(name="spare")), default={"requests": 2}, models={"toy:*": {"requests": 1}})

    asked = ["alias", "alias", "alias", "spare:n", "spare:n"]
    assert [200, 429, 429, 200, 429] == [await one.ask(model) for model in asked]


async def test_only_configured_words_become_keys(bench: Any) -> None:
    """Names of models that a client makes up take no memory."""
    one = await bench(models={"*": {"requests": 100}}, shared={"*": {"requests": 100}})
    store = one.running.gateway.state
    await one.ask()
    before = len(store._levels.things), len(store._entries.things)
    for number in range(10):
        await one.ask(f"made-up-{number}")

    assert before == (len(store._levels.things), len(store._entries.things))


# ---- shared limits ------------------------------------------------------------------------------

TWO = {"alice": {"key": "env:ALICE_KEY"}, "bob": {"key": "env:BOB_KEY"}}


async def test_a_shared_limit(bench: Any) -> None:
    """All clients together have so much, and one that is alone may have all of it."""
    one = await bench(shared={"m": {"requests": 4}}, keys=TWO)

    assert [200] * 4 + [429] == [await one.ask(x_api_key="alice-key") for _ in range(5)]
    assert 200 == await one.ask("other", x_api_key="alice-key")
    status, body, _ = await one.told(x_api_key="bob-key")
    assert (429, True) == (status, body["error"].startswith("All clients together may make 4 requests a minute for 'm'."))


async def test_nobody_starves_where_a_limit_is_shared(bench: Any) -> None:
    """However often one client asks, another one has its equal part of what flows in."""
    one = await bench(shared={"m": {"requests": 8}}, keys=TWO)
    got = {"alice-key": 0, "bob-key": 0}
    assert [200] * 8 == [await one.ask(x_api_key="alice-key") for _ in range(8)]
    await one.ask(x_api_key="bob-key")  # is refused, and from now on there are two
    for _ in range(8):
        await one.clock.advance(15)
        for key in ["alice-key"] * 3 + ["bob-key"]:
            got[key] += await one.ask(x_api_key=key) == 200

    assert {"alice-key": 8, "bob-key": 8} == got


async def test_who_has_its_part_is_told_so(bench: Any) -> None:
    """The message says among how many it is divided."""
    one = await bench(shared={"m": {"requests": 4}}, keys=TWO)
    await one.ask(x_api_key="bob-key")
    answers = [await one.told(x_api_key="alice-key") for _ in range(3)]

    assert [200, 200, 429] == [status for status, _, _ in answers]
    expected = "Each client may make 2 requests a minute for 'm', the equal part of 2 who share a limit."
    assert answers[-1][1]["error"].startswith(expected)


async def test_who_is_gone_has_no_part_any_more(bench: Any) -> None:
    """Two minutes later all belongs to who is left."""
    one = await bench(shared={"m": {"requests": 4}}, keys=TWO)
    await one.ask(x_api_key="bob-key")
    await one.clock.advance(120, step=10)

    assert [200] * 4 + [429] == [await one.ask(x_api_key="alice-key") for _ in range(5)]


@given(st.lists(st.tuples(st.integers(0, 90), st.integers(0, 4)), max_size=25))
def test_how_many_share_is_exact(asks: list[tuple[int, int]]) -> None:
    """Those who have asked in this minute of the clock or in the one before, each once."""
    clock = FakeClock()
    gateway = Gateway(Config(), pluggy.PluginManager("llmgw"), (), clock=clock.clock)
    gateway.state = MemoryStore(lambda: clock.now)
    seen: list[tuple[int, int]] = []

    async def run() -> None:
        for wait, who in asks:
            clock.now += wait
            minute = int(gateway.clock.time() // 60)
            seen.append((minute, who))
            expected = len({one for at, one in seen if at >= minute - 1})
            assert [expected] == await active(gateway, ["m"], Client(f"key {who}", ""))

    asyncio.run(run())


# ---- tokens -------------------------------------------------------------------------------------


async def test_tokens_are_what_was_used(bench: Any) -> None:
    """The provider's count goes before what was taken."""
    one = await bench(shared={"*": {"tokens": 5000}}, player=Player.of(using(300, 200)))
    await one.ask()
    await one.ended()

    assert 4500 == (await one.row("shared *"))["tokens left"]


async def test_what_was_used_beyond_is_owed(bench: Any) -> None:
    """A long answer is paid for later."""
    one = await bench(default={"tokens": 6000}, player=Player.of(using(1000, 11_000), reply("Hi")))

    assert [200, 429] == [await one.ask() for _ in range(2)]
    await one.clock.advance(60, step=5)
    assert 429 == await one.ask()
    await one.clock.advance(20)
    assert 200 == await one.ask()


async def test_a_failure_has_used_no_tokens(bench: Any) -> None:
    """But it was a request."""
    failing = Player.of([UpstreamError("no")])
    one = await bench(shared={"*": {"tokens": 5000, "requests": 10}}, player=failing)
    await one.ask()
    await one.ended()

    row = await one.row("shared *")
    assert (5000, 9) == (row["tokens left"], row["requests left"])


async def test_a_reply_that_broke_off_has_used_what_came(bench: Any) -> None:
    """The prompt, and of the answer what the client got."""
    broken = Player.of([*opening("x" * 400), Error(error=UpstreamError("no"))])
    one = await bench(shared={"*": {"tokens": 5000}}, player=broken)
    async with one.asking() as response:
        await response.read()
    await one.ended()

    assert 5000 - estimated(request("").prompt) - 100 == (await one.row("shared *"))["tokens left"]


@define(eq=False)
class Redoing(Filter):
    """Wants a second attempt behind the first one."""

    redoes: ClassVar[bool] = True
    asked: Request | None = None
    done: bool = False

    async def request(self, request: Request) -> Request:
        self.asked = request
        return request

    async def events(self, events: AsyncGenerator[Event, None]) -> AsyncGenerator[Event, None]:
        async for event in events:
            if isinstance(event, Stop) and not self.done and self.asked is not None:
                self.done = True
                raise Redo(self.asked)
            yield event


@pytest.mark.parametrize("first", [True, False])
async def test_attempts_in_one_reply_are_one_request(bench: Any, first: bool) -> None:
    """Whose tokens are those of all of them."""
    redoing = filtering(Redoing())
    player = Player.of(using(100, 20), using(110, 30))
    one = await bench(
        *([] if first else redoing),
        before=redoing if first else (),
        player=player,
        shared={"*": {"tokens": 5000, "requests": 9, "concurrent": 1}},
    )

    assert 200 == await one.ask()
    await one.ended()
    assert 2 == len(player.asked)
    row = await one.row("shared *")
    assert (8, 5000 - 260) == (row["requests left"], row["tokens left"])


async def test_an_answer_of_the_gateway_itself_is_free(bench: Any) -> None:
    """A filter that answers has asked nobody."""

    class Canning(Filter):
        async def request(self, request: Request) -> Request | Reply:
            return canned("Hello")

    one = await bench(*filtering(Canning()), shared={"*": {"tokens": 5000}})
    await one.ask()
    await one.ended()

    assert (5000, []) == ((await one.row("shared *"))["tokens left"], one.player.asked)


@pytest.mark.parametrize("usage", [None, Usage(input_total=70, output_total=1)])
async def test_who_leaves_pays_for_what_came(bench: Any, usage: Usage | None) -> None:
    """As far as it is known, else for the estimate."""
    told = [] if usage is None else [UsageUpdate(usage=usage)]
    first, *rest = opening("x" * 400)
    one = await bench(shared={"*": {"tokens": 5000}}, player=Player.of([first, *told, *rest, asyncio.Event()]))
    async with one.asking() as response:
        await response.content.readany()
    await one.ended()

    expected = 5000 - 100 - (estimated(request("").prompt) if usage is None else 71)
    assert expected == (await one.row("shared *"))["tokens left"]


async def test_who_leaves_before_anything_came_pays_for_the_prompt(bench: Any) -> None:
    """A provider was asked for it."""
    one = await bench(shared={"*": {"tokens": 5000}}, player=Player.of([asyncio.Event()]))
    task = asyncio.create_task(one.ask())
    await until(lambda: one.player.asked)
    task.cancel()
    await one.ended()

    assert 5000 - estimated(request("").prompt) == (await one.row("shared *"))["tokens left"]


async def test_while_it_runs_the_answer_is_taken_too(bench: Any) -> None:
    """As much as is allowed for an answer of unknown length, so that many at once do not all come through."""
    one = await bench(shared={"*": {"tokens": 5000}}, player=Player.of([*opening("Hi"), asyncio.Event()]), answer=2000)
    async with one.asking() as response:
        await response.content.readany()
        assert 3000 - estimated(request("").prompt) == (await one.row("shared *"))["tokens left"]


async def test_a_chain_pays_where_it_was_answered(bench: Any) -> None:
    """The target that failed has used nothing."""
    player, spare = Player.of([UpstreamError("no")]), Player.of(using(300, 200), name="spare")
    shared = {"toy:*": {"tokens": 5000}, "spare:*": {"tokens": 5000}}
    one = await bench(routing(named), serving(spare), player=player, shared=shared)

    assert 200 == await one.ask("chain")
    await one.ended()
    assert (5000, 4500) == tuple([(await one.row(f"shared {name}:*"))["tokens left"] for name in ("toy", "spare")])


async def test_a_prompt_that_never_fits(bench: Any) -> None:
    """Waiting does not help, and the SDK is told not to ask again."""
    one = await bench(default={"tokens": 5})
    status, body, headers = await one.told()

    assert (429, "false", None) == (status, headers["x-should-retry"], headers.get("retry-after"))
    needed = estimated(request("Hi").prompt)
    assert f"This request needs about {needed} tokens, and only 5 can ever be had at once." in body["error"]
    assert body["error"].endswith("Send a shorter prompt.")
    assert [] == one.player.asked


async def test_the_most_that_an_answer_may_have_is_no_wish(bench: Any, toybox: Toybox) -> None:
    """A client that names more than a bucket holds gets its answer, which takes all of the bucket meanwhile."""
    one = await bench(default={"tokens": 2000}, answer=10**9, player=Player.of(using(10, 10)))

    assert [200, 429] == [await one.ask() for _ in range(2)]
    await one.clock.advance(1)
    assert 200 == await one.ask()


async def test_the_prompt_is_read_only_where_tokens_are_limited(bench: Any) -> None:
    """Else a request goes as it came, and its reply is not looked at."""
    one = await bench(default={"requests": 5}, models={"n": {"tokens": 5000}})
    await one.ask("m")
    await one.ask("n")

    assert [False, True] == [asked._prompt is not None for _, asked in one.player.asked]


# ---- at the same time ---------------------------------------------------------------------------


def waiting() -> Player:
    """A back-end that begins its first answer and never ends it."""
    return Player.of([*opening("Hi"), asyncio.Event()], reply("Hi"))


async def test_requests_at_the_same_time(bench: Any) -> None:
    """One more is refused while they last, and let through when one has ended."""
    one = await bench(default={"concurrent": 1}, player=waiting())
    async with one.asking() as response:
        await response.content.readany()
        status, body, headers = await one.told()
        assert (429, "1") == (status, headers["retry-after"])
        assert "Each client may have 1 requests under way at the same time. Ask again when one has ended." == body["error"]
    await one.ended()

    assert [200, 200] == [await one.ask() for _ in range(2)]


async def test_a_long_exchange_keeps_its_seat(bench: Any) -> None:
    """For as long as it lasts."""
    one = await bench(default={"concurrent": 1}, player=waiting())
    async with one.asking() as response:
        await response.content.readany()
        await one.clock.advance(300, step=5)
        assert 429 == await one.ask()


async def test_seats_of_a_worker_that_was_killed(bench: Any) -> None:
    """They are free again when nobody has kept them for a while."""
    one = await bench(shared={"*": {"concurrent": 1}})
    assert await one.running.gateway.state.seat(stored("shared", "*"), "killed-1", 1, 60.0)

    assert 429 == await one.ask()
    await one.clock.advance(61, step=5)
    assert 200 == await one.ask()


async def test_seats_are_given_back_where_something_else_refuses(bench: Any) -> None:
    """Who does not get in takes nobody's place."""
    one = await bench(shared={"m": {"concurrent": 1}, "*": {"concurrent": 2, "requests": 1}}, player=waiting())
    async with one.asking() as response:
        await response.content.readany()
        statuses = [await one.ask("m"), await one.ask("n")]
        assert 1 == (await one.row("shared *"))["under way here"]
        assert await one.running.gateway.state.seat(stored("shared", "*"), "another", 2, 60.0)

    assert [429, 429] == statuses


# ---- what clients hear --------------------------------------------------------------------------


@pytest.mark.parametrize("front", ["openai-chat", "anthropic-messages"])
async def test_headers_in_the_words_of_the_dialect(bench: Any, front: str) -> None:
    """Of each scope the limit of which the least is left, on success and on refusal."""
    one = await bench(front=front, default={"requests": 2, "tokens": 9000}, models={"m": {"requests": 5}}, answer=0)
    path, prefix = {
        "openai-chat": ("/v1/chat/completions", "x-ratelimit-remaining-{}"),
        "anthropic-messages": ("/v1/messages", "anthropic-ratelimit-{}-remaining"),
    }[front]
    body = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1}
    seen = []
    for _ in range(3):
        async with one.running.http.post(one.running.url + path, json=body) as response:
            seen.append((response.status, response.headers, await response.text()))

    left = [(status, headers[prefix.format("requests")], prefix.format("tokens") in headers) for status, headers, _ in seen]
    assert [(200, "1", True), (200, "0", True), (429, "0", True)] == left
    assert "30" == seen[-1][1]["retry-after"]
    assert {"openai-chat": "rate_limit_exceeded", "anthropic-messages": "rate_limit_error"}[front] in seen[-1][2]


@pytest.mark.parametrize(("counted", "statuses"), [(False, [200, 200, 200]), (True, [200, 429, 429])])
async def test_counting_tokens(bench: Any, counted: bool, statuses: list[int]) -> None:
    """It is no request like others, unless the deployment says so; and it never uses tokens."""
    one = await bench(shared={"*": {"requests": 1, "tokens": 50}}, count_tokens=counted)

    assert statuses == [await one.ask(path="/toy/count") for _ in range(3)]
    assert 50 == (await one.row("shared *"))["tokens left"]
    assert (429 if counted else 200) == await one.ask()


async def test_status(bench: Any) -> None:
    """What named keys and shared limits have left."""
    keys = {"alice": {"key": "env:ALICE_KEY", "limits": {"requests": 3, "concurrent": 2}}, "bob": {"key": "env:BOB_KEY"}}
    one = await bench(keys=keys, default={"tokens": 9000}, shared={"m": {"requests": 5}}, player=waiting())
    async with one.asking() as response:  # without a key
        assert 401 == response.status
    async with one.running.http.post(
        one.running.url + "/toy", json={"model": "m", "stream": True}, headers={"x-api-key": "alice-key"}
    ) as response:
        await response.content.readany()
        [report] = await one.running.gateway.reports()

    none = {"requests left": None, "tokens left": None, "under way here": None}
    taken = estimated(request("").prompt) + 1000
    assert [
        none | {"limit": "key alice", "requests left": 2, "under way here": 1},
        none | {"limit": "key alice, default", "tokens left": 9000 - taken},
        none | {"limit": "key bob, default", "tokens left": 9000},
        none | {"limit": "shared m", "requests left": 4},
    ] == report.rows
    assert "alice-key" not in str(report)


def test_it_sits_out_where_nothing_is_limited() -> None:
    """Neither by an option nor for a key."""
    key = Secret("ALICE_KEY", "alice-key")
    limited = Config(auth=AuthConfig(keys={"alice": ClientKey(key, limits=Limits(requests=1))}))
    open_to_all = Config(auth=AuthConfig(keys={"alice": ClientKey(key)}))

    assert "nothing is limited" == RateLimit().sits_out(open_to_all) == RateLimit(models={"m": Limits()}).sits_out(Config())
    assert [None, None] == [RateLimit().sits_out(limited), RateLimit(default=Limits(tokens=1)).sits_out(open_to_all)]


async def test_who_is_not_limited_is_let_alone(toybox: Toybox) -> None:
    """Where nothing limits an exchange, it has no filter and no guard."""
    auth = {"keys": {"alice": {"key": "env:ALICE_KEY", "limits": {"requests": 1}}}}
    gateway = toybox.gateway(serving(Player()), env=SINGLE, filters=["rate-limit"], auth=auth, defaults=NOTHING_ELSE)
    one = exchange(gateway, principal=Principal("bob"))
    assert "rate-limit" not in [item.name for item, _ in gateway.idle]

    assert [] == gateway.hook.open_filter(exchange=one)
    assert [] == gateway.hook.open_guard(exchange=one)


@pytest.mark.parametrize(
    ("peer", "other", "same"),
    [
        ("10.0.0.1", "10.0.0.2", False),
        ("2001:db8::1", "2001:db8::2", True),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
        ("fe80::1%eth0", "fe80::1%eth1", True),
        ("::ffff:10.0.0.1", "10.0.0.1", True),
        ("", "", True),
    ],
)
async def test_clients_without_a_key(peer: str, other: str, same: bool) -> None:
    """They are told apart by what of an address is not theirs to choose."""
    gateway = Gateway.build(Config())

    assert same is (Client.of(exchange(gateway, peer=peer)) == Client.of(exchange(gateway, peer=other)))


def test_a_client_is_no_other() -> None:
    """Names do not run into one another, whatever signs they hold."""
    words = ["a", "b", "a:b", "key a", "%3A", ""]

    assert 36 == len({stored(one, other) for one in words for other in words})


@pytest.mark.parametrize(
    ("options", "mistake"),
    [
        ({"burst": 0}, "'burst' must be > 0.0: 0.0"),
        ({"answer": -1}, "'answer' must be >= 0: -1"),
        ({"default": {"requests": 0}}, "'requests' must be > 0: 0.0"),
        ({"models": {"m": {"request": 1}}}, "unknown key 'request'"),
    ],
)
def test_wrong_options(toybox: Toybox, options: dict[str, Any], mistake: str) -> None:
    """Each is told with its place."""
    with pytest.raises(ConfigError, match=re.escape(mistake)):
        toybox.gateway(serving(Player()), filters=[{"rate-limit": options}])


def test_a_burst_has_an_end() -> None:
    """A bucket without one would be no limit."""
    with pytest.raises(ValueError, match="'burst' must be < inf"):
        RateLimit(burst=math.inf)


# ---- laws ---------------------------------------------------------------------------------------


@define(eq=False)
class Model:
    """One client's exchanges, one after the other, with a clock that stands still."""

    gateway: Gateway
    clock: FakeClock
    player: Player

    async def ask(self, limits: Limits, name: str = "alice", script: Sequence[Any] | None = None) -> bool:
        """Whether it was let through."""
        if script is not None:
            self.player.scripts.clear()
            self.player.scripts.append(script)
        one = exchange(self.gateway, principal=Principal(name, limits=limits))
        error: BaseException | None = None
        try:
            async with aclosing(await answer(one, request())) as events:
                async for event in events:
                    error = event.error if isinstance(event, Error) else None
        except GatewayError as failure:
            error = failure
        for ending in one.endings:
            await ending(error)
        return not isinstance(error, TooMany)


@pytest.fixture
def model(toybox: Toybox) -> Model:
    """Where the laws are tried."""
    clock, player = FakeClock(), Player()
    options = {"burst": 1.5, "answer": 100, "models": {"nobody asks for it": {"requests": 1}}}
    gateway = toybox.gateway(serving(player), clock=clock.clock, filters=[{"rate-limit": options}], defaults=NOTHING_ELSE)
    return Model(gateway, clock, player)


WAITS = st.lists(st.integers(0, 80).map(lambda quarters: quarters / 4), min_size=1, max_size=40)


def test_law_of_requests(model: Model) -> None:
    """In no span of time more than the burst and what flows in, and nothing is refused that this law allows."""

    @given(WAITS, st.integers(1, 20))
    def law(waits: list[float], a_minute: int) -> None:
        model.gateway.state = MemoryStore(lambda: model.clock.now)
        got: list[float] = []

        async def run() -> None:
            for wait in waits:
                model.clock.now += wait
                now = model.clock.now
                spans = [(now - since, len([at for at in got if at >= since])) for since in [*got, now]]
                most = min(a_minute * 1.5 + seconds * a_minute / 60 - number for seconds, number in spans)
                assert (most >= 1 - 1e-4) is await model.ask(Limits(requests=a_minute))
                if most >= 1 - 1e-4:
                    got.append(now)

        asyncio.run(run())

    law()


def test_law_of_tokens(model: Model) -> None:
    """What is left is what was there without what was used: what was taken beyond is given back, and what was missing is owed."""
    prompt = estimated(request().prompt)
    outcome = st.one_of(st.none(), st.tuples(st.integers(0, 3000), st.integers(0, 3000)))

    @given(st.lists(st.tuples(st.integers(0, 30), outcome), min_size=1, max_size=30))
    def law(steps: list[tuple[int, tuple[int, int] | None]]) -> None:
        model.gateway.state = MemoryStore(lambda: model.clock.now)
        capacity, rate = 6000 * 1.5, 6000 / 60
        left = capacity

        async def run() -> None:
            nonlocal left
            for wait, used in steps:
                model.clock.now += wait
                left = min(capacity, left + wait * rate)
                script = [UpstreamError("no")] if used is None else using(*used)
                let = await model.ask(Limits(tokens=6000), script=script)
                assert let is (left >= prompt + 100 - 1e-3)
                if let:
                    left -= sum(used or (0, 0))
                key = f"{stored('key', 'key alice')}:tokens"
                taken = await model.gateway.state.take([Bucket(key, 0.0, capacity, rate)])
                assert taken.left == (pytest.approx(left, abs=1e-3),)

        asyncio.run(run())

    law()


def test_law_of_seats(model: Model) -> None:
    """However exchanges begin and end, no more than allowed are under way, and all who may come in do."""
    limits = Limits(concurrent=2)

    @given(st.lists(st.integers(0, 3), max_size=30))
    def law(moves: list[int]) -> None:
        model.gateway.state = MemoryStore(lambda: model.clock.now)
        under_way: list[Exchange] = []

        async def run() -> None:
            for move in moves:
                if move == 0 and under_way:
                    for ending in under_way.pop(0).endings:
                        await ending(None)
                    continue
                one = exchange(model.gateway, principal=Principal("alice", limits=limits))
                [admission] = model.gateway.hook.open_filter(exchange=one)
                try:
                    await admission.request(request())
                except TooMany:
                    assert 2 == len(under_way)
                    for ending in one.endings:
                        await ending(None)
                else:
                    under_way.append(one)
                    assert len(under_way) <= 2

        asyncio.run(run())

    law()
