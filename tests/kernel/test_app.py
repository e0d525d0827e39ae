from __future__ import annotations

import asyncio
import gzip
import logging
import zlib
from collections.abc import AsyncGenerator, Awaitable, Iterable, Sequence
from typing import Any

import pytest
from attrs import define

from llmgw import jsons
from llmgw.errors import (
    BadRequest,
    Deadline,
    Forbidden,
    GatewayError,
    GatewayFault,
    Kind,
    ModelNotFound,
    TooMany,
    Unauthorized,
    UpstreamBroken,
    UpstreamRefused,
    UpstreamReply,
    UpstreamTimeout,
)
from llmgw.events import BlockDelta, Error, Event, Events, Reply, ResponseEnd
from llmgw.exchange import Exchange
from llmgw.gateway import Gateway
from llmgw.model import Loss, ModelInfo, Request
from llmgw.stages import Count, Endpoint, Filter, Head, Principal, Target
from llmgw.version import VERSION
from llmgw_testing import FakeClock, RunningGateway, run_gateway
from tests.toys import (
    TOY,
    Player,
    Toy,
    Toybox,
    Watching,
    delta,
    ending,
    filtering,
    frame,
    observing,
    opening,
    plugin,
    reply,
    serving,
    until,
)

# ---- exactly one end ----------------------------------------------------------------------------


@define(eq=False)
class Buggy(Filter):
    """Fails on the way in."""

    async def request(self, request: Request) -> Request | Reply:
        raise ZeroDivisionError


@define(eq=False)
class Fault(Filter):
    """Fails on the way out, once a word has gone to the client."""

    async def events(self, events: Events) -> AsyncGenerator[Event, None]:
        async for event in events:
            yield event
            if isinstance(event, BlockDelta):
                raise ZeroDivisionError


@define(eq=False)
class Clumsy(Filter):
    """Fails when it is closed, which is behind the end."""

    async def events(self, events: Events) -> AsyncGenerator[Event, None]:
        try:
            async for event in events:
                yield event
        finally:
            raise ZeroDivisionError


@define(eq=False)
class Forgetful(Filter):
    """Swallows the end."""

    async def events(self, events: Events) -> AsyncGenerator[Event, None]:
        async for event in events:
            if not isinstance(event, ResponseEnd):
                yield event


@define(eq=False)
class Chatty(Filter):
    """Goes on behind the end."""

    async def events(self, events: Events) -> AsyncGenerator[Event, None]:
        async for event in events:
            yield event
        for event in reply("more"):
            yield event


TIMEOUT = UpstreamTimeout("slow")
WAYS: dict[str, tuple[list[Any], Filter | None, type | None, int]] = {
    # what the back-end does, a filter, the outcome, the status of a whole reply
    "well": (reply("Hello"), None, None, 200),
    "the client's fault": ([BadRequest("no")], None, BadRequest, 400),
    "a failure before the commit": ([TIMEOUT], None, UpstreamTimeout, 504),
    "an error event before the commit": ([Error(error=TIMEOUT)], None, UpstreamTimeout, 504),
    "a failure behind the commit": ([*opening("Hel"), TIMEOUT], None, UpstreamTimeout, 504),
    "an error event behind the commit": ([*opening("Hel"), Error(error=TIMEOUT)], None, UpstreamTimeout, 504),
    "no end": (opening("Hel"), None, UpstreamBroken, 502),
    "nothing at all": ([], None, UpstreamBroken, 502),
    "more behind the end": ([*reply("Hello"), *reply("more")], None, None, 200),
    "more behind an error": ([*opening("Hel"), Error(error=TIMEOUT), *reply("more")], None, UpstreamTimeout, 504),
    "a bug before the commit": ([ZeroDivisionError()], None, ZeroDivisionError, 500),
    "a bug behind the commit": ([*opening("Hel"), ZeroDivisionError()], None, ZeroDivisionError, 500),
    "a bug in a filter of requests": (reply("Hello"), Buggy(), ZeroDivisionError, 500),
    "a bug in a filter of events": (reply("Hello"), Fault(), ZeroDivisionError, 500),
    "a bug behind the end": (reply("Hello"), Clumsy(), ZeroDivisionError, 200),
    "a filter that swallows the end": (reply("Hello"), Forgetful(), UpstreamBroken, 502),
    "a filter that goes on behind the end": (reply("Hello"), Chatty(), None, 200),
}


def ends(data: bytes) -> int:
    """How often a stream of the toy dialect ends."""
    return data.count(b'{"end"') + data.count(b'{"error"')


@pytest.mark.parametrize("way", list(WAYS))
async def test_a_stream_ends_once(toybox: Toybox, way: str) -> None:
    """Whatever happens, the client gets one end, each observer hears of one, and it is the right one."""
    script, one, outcome, _ = WAYS[way]
    watching, other = Watching(), Watching()
    classes = [*filtering(one), observing(watching), observing(other), serving(Player.of(script))]
    async with run_gateway(toybox.deployment(*classes)) as running:
        status, data = await said(running, stream=True)
        await until(lambda: watching.ends)

    assert 1 == ends(data)
    assert (200 == status) == data.startswith(b"data: ")
    assert [outcome] == [end and type(end) for end in watching.ends]
    assert watching.ends == other.ends
    assert data == watching.heard("client", "out")


@pytest.mark.parametrize("way", list(WAYS))
async def test_a_whole_reply_ends_once(toybox: Toybox, way: str) -> None:
    """A whole reply is a reply or an error, never half of one, and observers hear of it once."""
    script, one, outcome, expected = WAYS[way]
    watching = Watching()
    async with run_gateway(toybox.deployment(*filtering(one), observing(watching), serving(Player.of(script)))) as running:
        status, data = await said(running, stream=False)
        await until(lambda: watching.ends)

    assert expected == status
    assert {"said"} == set(jsons.loads(data)) if status == 200 else {"error", "kind"} == set(jsons.loads(data))
    assert [outcome] == [end and type(end) for end in watching.ends]
    assert data == watching.heard("client", "out")


async def said(running: RunningGateway, say: str = "Hi", model: str = "m", *, stream: bool) -> tuple[int, bytes]:
    """Status and bytes of an answer."""
    async with running.http.post(running.url + "/toy", json={"model": model, "say": say, "stream": stream}) as response:
        return response.status, await response.read()


@pytest.mark.parametrize("stream", [True, False])
async def test_the_client_leaves(toybox: Toybox, stream: bool) -> None:
    """The provider is let go, nobody writes any more, and observers hear of the leaving, once."""
    watching = Watching()
    player = Player.of([*opening("Hel"), asyncio.Event()])
    async with run_gateway(toybox.deployment(observing(watching), serving(player))) as running:
        asking = asyncio.ensure_future(said(running, stream=stream))
        await until(lambda: "open" in player.log)
        asking.cancel()
        await until(lambda: watching.ends)

    assert [asyncio.CancelledError] == list(map(type, watching.ends))
    assert ["open", "close"] == player.log


async def test_a_socket_of_a_plugins_own_is_not_the_clients(toybox: Toybox) -> None:
    """That some connection is reset is no client's leaving: the exchange has failed, and the client hears of it."""
    more, watching = asyncio.Event(), Watching()

    @define(eq=False)
    class Deaf(Filter):
        async def events(self, events: Events) -> AsyncGenerator[Event, None]:
            async for event in events:
                if isinstance(event, BlockDelta) and event.fragment == "lo":
                    raise ConnectionResetError
                yield event

    player = Player.of([*opening("Hel"), more, delta("lo"), *ending()])
    async with (
        run_gateway(toybox.deployment(*filtering(Deaf()), observing(watching), serving(player))) as running,
        running.http.post(running.url + "/toy", json={"model": "m", "stream": True}) as response,
    ):
        await response.content.readany()
        more.set()
        heard = await response.read()

    assert [ConnectionResetError] == list(map(type, watching.ends))
    assert b"its log says where" in heard


@pytest.mark.parametrize("stream", [True, False])
async def test_the_deadline_is_an_end(toybox: Toybox, stream: bool) -> None:
    """An exchange that takes too long ends with an error, in the stream where that has begun."""
    clock, watching = FakeClock(), Watching()
    player = Player.of([*opening("Hel"), asyncio.Event()])
    config = toybox.deployment(observing(watching), serving(player), proxy={"deadline": 60.0})
    async with run_gateway(config, clock=clock.clock) as running:
        asking = asyncio.ensure_future(said(running, stream=stream))
        await until(lambda: player.log and watching.events)
        await clock.advance(61)
        status, data = await asking

    assert (200 if stream else 504) == status
    assert 1 == data.count(b'"error"')
    assert ([Deadline], ["open", "close"]) == (list(map(type, watching.ends)), player.log)


# ---- what the client gets -----------------------------------------------------------------------


async def test_a_bug_is_a_500_that_says_nothing(toybox: Toybox, caplog: pytest.LogCaptureFixture) -> None:
    """A plugin's bug is an error in the client's dialect without a word of the exception; the log has the traceback."""
    async with run_gateway(toybox.deployment(serving(Player.of([ZeroDivisionError("sk-secret")])))) as running:
        status, body = await running.post({"model": "m"}, "/toy")

    assert (500, "internal") == (status, body["kind"])
    assert "sk-secret" not in body["error"]
    assert any(one.exc_info and one.exc_info[0] is ZeroDivisionError for one in caplog.records)


async def test_each_answer_names_its_exchange(toybox: Toybox) -> None:
    """The header has an id of its own for each, also on errors."""
    ids = []
    async with run_gateway(toybox.deployment(serving(Player.of(reply("Hello"), [TIMEOUT])))) as running:
        for stream in (False, True):
            async with running.http.post(running.url + "/toy", json={"model": "m", "stream": stream}) as response:
                ids.append(response.headers["x-llmgw-exchange"])

    assert 2 == len(set(ids))


async def test_a_stream_is_not_to_be_kept(toybox: Toybox) -> None:
    """A proxy in between neither caches a stream nor waits for its end."""
    async with (
        run_gateway(toybox.deployment()) as running,
        running.http.post(running.url + "/toy", json={"model": "m", "stream": True}) as response,
    ):
        headers = response.headers

    assert ("text/event-stream", "no-cache", "no") == (
        headers["content-type"],
        headers["cache-control"],
        headers["x-accel-buffering"],
    )


async def test_losses_are_told(toybox: Toybox) -> None:
    """What did not come across as it was stands in a header, each feature once."""

    def open_filter(exchange: Exchange) -> None:
        exchange.losses += [
            Loss("a", "temperature", "dropped"),
            Loss("b", "top_k", "dropped"),
            Loss("c", "temperature", "dropped"),
        ]

    async with (
        run_gateway(toybox.deployment(plugin(open_filter=open_filter))) as running,
        running.http.post(running.url + "/toy", json={"model": "m"}) as response,
    ):
        assert "temperature;top_k" == response.headers["x-llmgw-losses"]


async def test_a_providers_own_error_is_handed_on(toybox: Toybox) -> None:
    """In the same dialect the client gets the provider's bytes and status, and the headers that mean something to it."""
    upstream = UpstreamReply(418, b"I am a teapot", "toy", {"retry-after": "7", "x-internal": "1"}, "text/tea")
    player = Player.of([UpstreamRefused("no", upstream=upstream)])
    async with (
        run_gateway(toybox.deployment(serving(player))) as running,
        running.http.post(running.url + "/toy", json={"model": "m"}) as response,
    ):
        got = response.status, await response.read(), response.content_type, response.headers["retry-after"]
        assert "x-internal" not in response.headers

    assert (418, b"I am a teapot", "text/tea", "7") == got


async def test_an_error_of_another_dialect_is_translated(toybox: Toybox) -> None:
    """Nothing of a foreign error goes through but what it means."""
    upstream = UpstreamReply(429, b"<foreign>", "other", {"retry-after": "7"})
    player = Player.of([UpstreamRefused("too many", upstream=upstream, kind="rate_limited", retry_after=2.5)])
    async with (
        run_gateway(toybox.deployment(serving(player))) as running,
        running.http.post(running.url + "/toy", json={"model": "m"}) as response,
    ):
        got = response.status, await response.json(), response.headers["retry-after"]

    assert (429, {"error": "too many", "kind": "rate_limited"}, "3") == got


@pytest.mark.parametrize(
    ("seconds", "whole", "exact"),
    [(3.0, "3", None), (0.25, "1", "250"), (-1.0, "0", None), (30.0, "30", None), (2.5001, "3", "2501")],
)
async def test_when_to_come_back(toybox: Toybox, seconds: float, whole: str, exact: str | None) -> None:
    """``retry-after`` has whole seconds, never in the past and never too few; SDKs find the exact time beside it."""
    player = Player.of([TooMany("later", retry_after=seconds)])
    async with (
        run_gateway(toybox.deployment(serving(player))) as running,
        running.http.post(running.url + "/toy", json={"model": "m"}) as response,
    ):
        assert (whole, exact) == (response.headers["retry-after"], response.headers.get("retry-after-ms"))


@pytest.mark.parametrize(("kind", "told"), [("billing", "false"), ("rate_limited", None)])
async def test_whether_to_come_back_at_all(toybox: Toybox, kind: Kind, told: str | None) -> None:
    """SDKs ask again after every 429, unless they are told that it is of no use."""
    refused = UpstreamRefused("no credit", upstream=UpstreamReply(429, b"no", "other"), kind=kind)
    async with (
        run_gateway(toybox.deployment(serving(Player.of([refused])))) as running,
        running.http.post(running.url + "/toy", json={"model": "m"}) as response,
    ):
        assert (429, told) == (response.status, response.headers.get("x-should-retry"))


# ---- who is calling -----------------------------------------------------------------------------


def asking_for(answer: Awaitable[Principal] | BaseException | None) -> type:
    """A plugin that answers so when asked who is calling."""

    async def say() -> Principal:
        if isinstance(answer, BaseException):
            raise answer
        return Principal("ada")

    def authenticate(exchange: Exchange) -> Awaitable[Principal] | None:
        return None if answer is None else say()

    return plugin(authenticate=authenticate)


async def test_a_stranger_is_refused(toybox: Toybox) -> None:
    """When no plugin knows who is calling, the body is not even read, and the header says what is asked for."""
    player = Player()
    async with (
        run_gateway(toybox.deployment(asking_for(None), serving(player))) as running,
        running.http.post(running.url + "/toy", data=b"no json") as response,
    ):
        got = response.status, (await response.json())["kind"], response.headers["www-authenticate"]

    assert (401, "authentication", "Bearer") == got
    assert [] == player.asked


async def test_a_friend_is_known(toybox: Toybox) -> None:
    """What comes later finds the caller's name; the first plugin that knows it is believed."""
    found: list[Principal | None] = []

    def open_filter(exchange: Exchange) -> None:
        found.append(exchange.principal)

    config = toybox.deployment(
        asking_for(None),
        asking_for(Principal("ada")),
        asking_for(Unauthorized("no")),
        plugin(open_filter=open_filter),  # type: ignore[arg-type]
    )
    async with run_gateway(config) as running:
        assert 200 == (await running.post({"model": "m"}, "/toy"))[0]

    assert [Principal("ada")] == found


async def test_a_refusal_is_told(toybox: Toybox) -> None:
    """What a plugin refuses with is what the client gets."""
    async with run_gateway(toybox.deployment(asking_for(Forbidden("not you")))) as running:
        assert (403, {"error": "not you", "kind": "permission"}) == await running.post({"model": "m"}, "/toy")


async def test_nobody_asks(toybox: Toybox) -> None:
    """Where authentication is disabled, plugins are not asked."""
    config = toybox.deployment(asking_for(None), auth={"disable_auth": True})
    async with run_gateway(config) as running:
        assert 200 == (await running.post({"model": "m"}, "/toy"))[0]


# ---- the body -----------------------------------------------------------------------------------

LONG = jsons.dumps({"model": "m", "say": "x" * 100_000})


@pytest.mark.parametrize(("encoding", "encode"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
async def test_a_compressed_body(toybox: Toybox, encoding: str, encode: Any) -> None:
    """It is read, and its limit is that of what is in it."""
    player = Player()
    async with run_gateway(toybox.deployment(serving(player), proxy={"max_request_bytes": len(LONG)})) as running:
        assert 200 == (await running.post(encode(LONG), "/toy", content_encoding=encoding))[0]
        status, body = await running.post(encode(LONG + b" "), "/toy", content_encoding=encoding)

    assert (413, "request_too_large") == (status, body["kind"])
    assert ["x" * 100_000] == player.said


async def test_a_body_that_is_not_what_it_says(toybox: Toybox) -> None:
    """Bytes that are no gzip are the client's fault."""
    async with run_gateway(toybox.deployment()) as running:
        status, body = await running.post(b"no gzip", "/toy", content_encoding="gzip")

    assert (400, "invalid_request") == (status, body["kind"])


async def test_a_body_that_is_too_large(toybox: Toybox) -> None:
    """It is refused by its length before it is read, and by its bytes where it has no length; the limit is named."""

    async def pieces() -> AsyncGenerator[bytes, None]:
        yield LONG

    async with run_gateway(toybox.deployment(proxy={"max_request_bytes": 1000})) as running:
        for data in (LONG, pieces()):
            async with running.http.post(running.url + "/toy", data=data) as response:
                assert (413, True) == (response.status, "1000 bytes" in (await response.json())["error"])


async def test_a_body_that_does_not_come(toybox: Toybox) -> None:
    """A client that never sends what it promised is refused in time."""
    config = toybox.deployment(proxy={"request_timeout": 0.01})
    async with run_gateway(config) as running:
        status, body = await half_a_request(running)

    assert (408, "timeout") == (status, body["kind"])


async def half_a_request(running: RunningGateway) -> tuple[int, Any]:
    """The answer to a request whose body does not come."""
    host, port = running.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"POST /toy HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{")
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length"))
    body = jsons.loads(await reader.readexactly(length))
    writer.close()
    await writer.wait_closed()
    return int(head.split(b" ")[1]), body


# ---- what observers see -------------------------------------------------------------------------


async def test_observers_see_both_sockets(toybox: Toybox) -> None:
    """Bytes in and out at the client's end, and the events as the client gets them."""
    watching = Watching()
    async with run_gateway(toybox.deployment(observing(watching), serving(Player.of(reply("Hello"))))) as running:
        async with running.http.post(running.url + "/toy", data=b'{"model": "m", "stream": true}') as response:
            data = await response.read()
        await until(lambda: watching.ends)

    assert b'{"model": "m", "stream": true}' == watching.heard("client", "in")
    assert frame(say="Hello") + frame(end="end") == data == watching.heard("client", "out")
    assert reply("Hello") == watching.events
    assert [None] == watching.ends


async def test_an_observer_that_cannot_be_opened(toybox: Toybox) -> None:
    """The client hears of it as of any bug, and the others hear of the end."""

    def open_observer(exchange: Exchange) -> None:
        raise ZeroDivisionError

    async with run_gateway(toybox.deployment(plugin(open_observer=open_observer))) as running:
        assert 500 == (await running.post({"model": "m"}, "/toy"))[0]


# ---- models -------------------------------------------------------------------------------------


async def test_the_list_of_models(toybox: Toybox) -> None:
    """It names models as requests do, and is written by the client's dialect."""
    async with run_gateway(toybox.deployment(serving(Player(listed=("a", "b/c"))))) as running:
        assert (200, {"models": ["toy:a", "toy:b/c"]}) == await running.get("/toy/models")


@pytest.mark.parametrize("asked", ["toy:b/c", "b/c"])
async def test_one_model(toybox: Toybox, asked: str) -> None:
    """A model is found by its whole name and by the one without the back-end's id."""
    async with run_gateway(toybox.deployment(serving(Player(listed=("a", "b/c"))))) as running:
        assert (200, {"model": "toy:b/c"}) == await running.get(f"/toy/models/{asked}")


async def test_a_model_that_is_not_there(toybox: Toybox) -> None:
    """The error names the nearest."""
    async with run_gateway(toybox.deployment(serving(Player(listed=("gpt-5",))))) as running:
        status, body = await running.get("/toy/models/toy:gtp-5")

    assert (404, "model_not_found") == (status, body["kind"])
    assert "Did you mean 'toy:gpt-5'?" in body["error"]


# ---- the log ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "level", "expected"),
    [
        (reply("Hello"), logging.DEBUG, "done"),
        ([TIMEOUT], logging.WARNING, "UpstreamTimeout: slow"),
        ([*opening("Hel"), Error(error=TIMEOUT)], logging.WARNING, "UpstreamTimeout: slow"),
        ([GatewayFault("ours")], logging.WARNING, "GatewayFault: ours"),
    ],
)
async def test_the_log_has_a_line_for_each(
    toybox: Toybox, caplog: pytest.LogCaptureFixture, script: list[Any], level: int, expected: str
) -> None:
    """It says where the exchange went and how it ended, loudly only where somebody has to look."""
    caplog.set_level(logging.DEBUG, "llmgw")
    async with run_gateway(toybox.deployment(serving(Player.of(script)))) as running:
        await said(running, stream=True)
        await until(lambda: [one for one in caplog.records if one.message.startswith("exchange ")])

    [line] = [one for one in caplog.records if one.message.startswith("exchange ")]
    assert level == line.levelno
    assert f"/toy -> toy:m: {expected} after " in line.message


# ---- writing ------------------------------------------------------------------------------------


async def test_what_waits_goes_out_first_and_is_seen(toybox: Toybox) -> None:
    """Bytes that waited for others go out before those, and observers see all of them, in order."""
    watching = Watching()

    @define(eq=False)
    class Half(Filter):
        async def events(self, events: Events) -> AsyncGenerator[Event, None]:
            async for event in events:
                exchange = next(iter(running.server.gateway.exchanges))
                exchange.more = isinstance(event, BlockDelta) and event.fragment == "Hel"
                yield event

    player = Player.of([*opening("Hel", "lo"), *ending()])
    async with run_gateway(toybox.deployment(*filtering(Half()), observing(watching), serving(player))) as running:
        _, data = await said(running, stream=True)
        await until(lambda: watching.ends)

    assert frame(say="Hel") + frame(say="lo") + frame(end="end") == data == watching.heard("client", "out")


async def test_the_end_stops_the_exchange(toybox: Toybox) -> None:
    """Behind the terminal event a back-end is not asked for more."""
    never = asyncio.Event()
    async with run_gateway(toybox.deployment(serving(Player.of([*reply("Hello"), never])))) as running:
        assert 200 == (await said(running, stream=False))[0]
        assert 200 == (await said(running, stream=True))[0]


# ---- what else is asked -------------------------------------------------------------------------


class Kin(Toy):
    """A dialect whose list stands at the same path; its clients show who they are by a header."""

    name = "kin"

    def claims(self, head: Head) -> bool:
        return "kin-version" in head.headers

    def write_models(self, models: Sequence[ModelInfo]) -> bytes:
        return jsons.dumps(
            {"models": [f"kin of {model.id}" for model in models], "data": [{"kin": model.id} for model in models]}
        )

    def write_model(self, model: ModelInfo) -> bytes:
        return jsons.dumps({"model": "kin", "id": model.id})

    def write_error(self, error: GatewayError) -> bytes:
        return jsons.dumps({"kin": error.kind})


KIN = Kin()


class Pairs(Toy):
    """One whose list has objects."""

    name = "pairs"

    def write_models(self, models: Sequence[ModelInfo]) -> bytes:
        return jsons.dumps({"data": [{"pair": model.id} for model in models], "more": False})

    def write_model(self, model: ModelInfo) -> bytes:
        return jsons.dumps({"pair": model.id})


PAIRS = Pairs()


def lists(*dialects: Toy) -> type:
    """A front-end with the lists of several dialects at one path."""

    def frontend_endpoints(gateway: Gateway) -> Iterable[Endpoint]:
        for dialect in dialects:
            yield Endpoint("GET", "/models", dialect, "models")
            yield Endpoint("GET", "/models/{id:.+}", dialect, "model")

    return plugin(frontend_endpoints=frontend_endpoints)


@pytest.mark.parametrize("dialects", [(TOY, PAIRS, KIN), (KIN, PAIRS, TOY), (PAIRS, KIN, KIN)])
async def test_who_claims_a_shared_path_is_answered_in_its_own(toybox: Toybox, dialects: Any) -> None:
    """Whatever the order of the front-ends, and also with an error."""
    async with run_gateway(toybox.deployment(lists(*dialects))) as running:
        assert (200, {"models": ["kin of toy:m"], "data": [{"kin": "toy:m"}]}) == await running.get("/models", kin_version="1")
        assert (200, {"model": "kin", "id": "toy:m"}) == await running.get("/models/m", kin_version="1")
        assert (404, {"kin": "model_not_found"}) == await running.get("/models/x", kin_version="1")


async def test_else_all_are_answered_together(toybox: Toybox) -> None:
    """One body has what each dialect's clients look for; where two say different things of one field, the last goes before."""
    async with run_gateway(toybox.deployment(lists(TOY, PAIRS, KIN))) as running:
        united = {"models": ["kin of toy:m"], "data": [{"kin": "toy:m", "pair": "toy:m"}], "more": False}
        assert (200, united) == await running.get("/models")
        assert (200, {"model": "kin", "pair": "toy:m", "id": "toy:m"}) == await running.get("/models/m")
        assert (404, "model_not_found") == ((got := await running.get("/models/x"))[0], got[1]["kind"])


async def test_a_path_of_one_dialect_is_written_as_it_is(toybox: Toybox) -> None:
    """Its own bytes, not read again."""
    async with run_gateway(toybox.deployment(lists(PAIRS))) as running, running.http.get(running.url + "/models") as response:
        assert b'{"data":[{"pair":"toy:m"}],"more":false}' == await response.read()


async def test_several_front_ends_may_share_a_path_for_answers(toybox: Toybox) -> None:
    """Who claims it gets it, else the first."""

    def frontend_endpoints(gateway: Gateway) -> Iterable[Endpoint]:
        return [Endpoint("POST", "/ask", TOY), Endpoint("POST", "/ask", KIN)]

    async with run_gateway(toybox.deployment(plugin(frontend_endpoints=frontend_endpoints))) as running:
        assert (400, {"kin": "invalid_request"}) == await running.post(b"no json", "/ask", kin_version="1")
        assert "kind" in (await running.post(b"no json", "/ask"))[1]
        assert (200, {"said": "Hello"}) == await running.post({"model": "m"}, "/ask")


async def test_what_is_served(toybox: Toybox) -> None:
    """A page for people names the paths, their methods and the dialect."""
    async with run_gateway(toybox.deployment()) as running:
        status, body = await running.get("/toy/info")

    assert (200, "llmgw", VERSION, "toy") == (status, body["service"], body["version"], body["dialect"])
    assert "POST /toy" in body["supported_endpoints"] and "GET /toy/info" in body["supported_endpoints"]
    assert 7 == len(body["supported_endpoints"])


async def test_whether_it_can_serve(toybox: Toybox) -> None:
    """Told at each endpoint for it as at the gateway's own."""
    async with run_gateway(toybox.deployment()) as running:
        assert 200 == (got := await running.get("/toy/health"))[0]
        assert await running.get("/health") == got


async def test_a_count_of_no_provider(toybox: Toybox) -> None:
    """A back-end may count by itself; that is no estimate, and written in the client's dialect."""

    @define(eq=False)
    class Counter(Player):
        async def count(self, exchange: Exchange, target: Target, request: Request) -> Count | None:
            return Count(7)

    async with (
        run_gateway(toybox.deployment(serving(Counter()))) as running,
        running.http.post(running.url + "/toy/count", json={"model": "m", "say": "Hi"}) as response,
    ):
        assert (b'{"count":7}', "application/json") == (await response.read(), response.content_type)
        assert "x-llmgw-estimated" not in response.headers


async def test_a_count_is_an_exchange(toybox: Toybox) -> None:
    """It has its one end, also with an error in the client's dialect."""
    watching = Watching()
    async with run_gateway(toybox.deployment(observing(watching), serving(Player(name="a"), Player(name="b")))) as running:
        assert 404 == (await running.post({"model": "x"}, "/toy/count"))[0]
        assert 400 == (await running.post(b"no json", "/toy/count"))[0]
        assert 200 == (await running.post({"model": "a:m"}, "/toy/count"))[0]
        await until(lambda: len(watching.ends) == 3)

    assert [ModelNotFound, BadRequest, type(None)] == list(map(type, watching.ends))


async def test_losses_stand_in_the_log(toybox: Toybox, caplog: pytest.LogCaptureFixture) -> None:
    """Each with its place, what became of it and between which dialects, for whoever reads at that level."""

    @define(eq=False)
    class Losing(Player):
        async def stream(self, exchange: Exchange, target: Target, request: Request) -> AsyncGenerator[Event, None]:
            exchange.losses.append(Loss("my_seed", "seed", "dropped", "toy", "abroad"))
            for event in reply("Hello"):
                yield event

    with caplog.at_level(logging.DEBUG, "llmgw"):
        async with run_gateway(toybox.deployment(serving(Losing()))) as running:
            await running.post({"model": "m"}, "/toy")

    assert "lost: seed dropped at my_seed (toy -> abroad)" in caplog.text
