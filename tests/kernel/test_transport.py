from __future__ import annotations

import asyncio
import functools
import io
import socket
import ssl
from collections.abc import Awaitable, Iterable, Mapping
from contextlib import aclosing
from typing import Any, ClassVar

import aiohttp
import pytest
from aiohttp.client_reqrep import ConnectionKey
from aioresponses import aioresponses
from attrs import define, evolve, field

from llmgw import jsons, transport
from llmgw.config import load
from llmgw.errors import (
    ConfigError,
    CredentialUnusable,
    GatewayError,
    Misconfigured,
    UpstreamBroken,
    UpstreamError,
    UpstreamRefused,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from llmgw.events import BlockDelta, BlockStart, BlockStop, Event, Raw, ResponseEnd, ResponseStart, Stop, Usage, UsageUpdate
from llmgw.exchange import Exchange
from llmgw.gateway import Gateway
from llmgw.hookspecs import hookimpl
from llmgw.identity import Identity
from llmgw.model import Loss, Message, ModelInfo, Profile, Request, Text
from llmgw.stages import Dialect, Observer, Operation, Principal, Target
from llmgw.tokens import estimated
from llmgw.version import VERSION
from llmgw_testing import Break, FakeClock, Hang, Provider, Wait, check_backend, raw, run_gateway, stream, whole
from tests.toys import (
    ABROAD,
    TOY,
    AbroadHttp,
    Crossway,
    Tagging,
    Toy,
    Toybox,
    ToyHttp,
    Watching,
    exchange,
    filtering,
    frame,
    observing,
    plugin,
    request,
    routing,
    said,
    serving,
    until,
)

HELLO = stream(frame(say="Hel"), frame(say="lo"), frame(end="end"))


def at(provider: Provider, **more: Any) -> ToyHttp:
    """The back-end of this provider."""
    return ToyHttp(base_url=provider.base_url, **more)


# ---- what is sent -------------------------------------------------------------------------------


async def test_exactly_these_headers_are_sent(toybox: Toybox, provider: Provider) -> None:
    """A provider gets its back-end's credential, what HTTP needs, and of the client's headers those that its dialect lists."""
    provider.answers(whole({"said": "Hello"}))
    strange = {"toy_beta": "1", "x_api_key": "client", "cookie": "a=b", "x_forwarded_for": "1.2.3.4", "user_agent": "client"}
    async with run_gateway(toybox.deployment(serving(at(provider)))) as running:
        assert 200 == (await running.post({"model": "m"}, "/toy", authorization="Bearer client", **strange))[0]

    [seen] = provider.seen
    assert {
        "host": provider.base_url.removeprefix("http://").removesuffix("/v1"),
        "accept": "*/*",
        "accept-encoding": "identity",
        "authorization": "Bearer key-of-default",
        "content-type": "application/json",
        "content-length": str(len(seen.body)),
        "toy-beta": "1",
        "user-agent": f"llmgw/{VERSION}",
    } == seen.headers
    assert ("POST", "/v1/say") == (seen.method, seen.path)


async def test_headers_of_another_dialect_stay_behind(toybox: Toybox, provider: Provider) -> None:
    """What means something to providers of the client's dialect means nothing to others."""

    class Other(Toy):
        name: ClassVar[str] = "other"

    @define(eq=False, kw_only=True)
    class OtherHttp(ToyHttp):
        dialect: ClassVar[Dialect] = Other()

    provider.answers(whole({"said": "Hello"}))
    async with run_gateway(toybox.deployment(serving(OtherHttp(base_url=provider.base_url)))) as running:
        assert 200 == (await running.post({"model": "m"}, "/toy", toy_beta="1"))[0]

    assert "toy-beta" not in provider.seen[0].headers


async def test_the_targets_credential_is_used(toybox: Toybox, provider: Provider) -> None:
    """A route chooses among a back-end's keys."""

    async def route() -> Any:
        yield Target("toy", "m", "second")

    provider.answers(whole({"said": "Hello"}))
    async with run_gateway(toybox.deployment(routing(lambda *_: route()), serving(at(provider)))) as running:
        assert 200 == (await running.post({"model": "m"}, "/toy"))[0]

    assert "Bearer key-of-second" == provider.seen[0].headers["authorization"]


@define(eq=False, kw_only=True)
class Renewing(ToyHttp):
    """A back-end whose token changes when it is refused, so many times."""

    tokens: int = 1
    at: int = 0
    asked: list[str] = field(factory=list)

    async def authorization(self, gateway: Gateway, target: Target) -> Mapping[str, str]:
        return {"authorization": f"Bearer {self.at}"}

    async def renewed(self, gateway: Gateway, target: Target, refused: Mapping[str, str]) -> bool:
        self.asked.append(refused["authorization"])
        if self.at == self.tokens:
            return False
        self.at += 1
        return True


async def test_a_credential_that_is_refused_is_renewed(toybox: Toybox, provider: Provider) -> None:
    """The very request goes out again under the new one, and the client hears nothing of it."""
    backend = Renewing(base_url=provider.base_url)
    provider.answers(whole({"no": 1}, 401), whole({"said": "Hello"}))
    async with run_gateway(toybox.deployment(serving(backend))) as running:
        assert (200, {"said": "Hello"}) == await running.post({"model": "m"}, "/toy")
    assert ["Bearer 0", "Bearer 1"] == [seen.headers["authorization"] for seen in provider.seen]
    assert ["Bearer 0"] == backend.asked and provider.seen[0].body == provider.seen[1].body


@pytest.mark.parametrize(("tokens", "posts"), [(0, 1), (1, 2), (2, 3), (9, 3)])
async def test_it_is_renewed_twice_and_no_more(toybox: Toybox, provider: Provider, tokens: int, posts: int) -> None:
    """However many there are: a provider that refuses all is not asked for ever."""
    provider.answers(*[whole({"no": 1}, 401)] * posts)
    backend = Renewing(base_url=provider.base_url, tokens=tokens)
    async with run_gateway(toybox.deployment(serving(backend))) as running:
        assert (401, {"no": 1}) == await running.post({"model": "m"}, "/toy")
    assert posts == len(provider.seen)


async def test_a_list_of_models_under_a_renewed_credential(toybox: Toybox, provider: Provider) -> None:
    """As for requests."""
    provider.answers(whole({"no": 1}, 401), whole({"models": ["a"]}))
    backend = Renewing(base_url=provider.base_url)
    async with run_gateway(toybox.deployment(serving(backend))) as running:
        assert ["toy:a"] == [one.id for one in await running.gateway.models()]
    assert ["Bearer 0", "Bearer 1"] == [seen.headers["authorization"] for seen in provider.seen]


@define(eq=False, kw_only=True)
class Preparing(ToyHttp):
    """A back-end that must know something first, signs what it sends, and explains what comes back."""

    known: list[str] = field(factory=list)

    async def prepared(self, gateway: Gateway, target: Target) -> None:
        self.known.append(target.model)

    async def signed(
        self, gateway: Gateway, target: Target, url: str, headers: Mapping[str, str], body: bytes
    ) -> Mapping[str, str]:
        return {**headers, "x-signed": f"{url.rpartition('/')[2]} {len(body)} {headers['authorization']} {self.known}"}

    def explained(self, error: UpstreamError) -> UpstreamError:
        error.message = f"{error.message} Run: acme login"
        error.upstream = None
        return error


async def test_what_must_be_known_first_and_what_is_signed(toybox: Toybox, provider: Provider) -> None:
    """Before a request is written it is found out; headers are signed when all of them, the URL and the body are known."""
    provider.answers(whole({"said": "Hello"}))
    async with run_gateway(toybox.deployment(serving(Preparing(base_url=provider.base_url)))) as running:
        await running.post({"model": "m"}, "/toy")
    [seen] = provider.seen
    assert f"say {len(seen.body)} Bearer key-of-default ['m']" == seen.headers["x-signed"]


async def test_a_refusal_is_explained(toybox: Toybox, provider: Provider) -> None:
    """By who knows more of the provider than its dialect does."""
    provider.answers(whole(b"no", 403))
    async with run_gateway(toybox.deployment(serving(Preparing(base_url=provider.base_url)))) as running:
        _, body = await running.post({"model": "m"}, "/toy")
    assert "no Run: acme login" == body["error"]


async def test_an_error_within_a_reply_is_explained(toybox: Toybox, provider: Provider) -> None:
    """As one instead of it would be."""
    provider.answers(stream(frame(say="Hel"), b'data: {"error": "no"}\n\n'))
    backend = Preparing(base_url=provider.base_url)
    async with run_gateway(toybox.deployment(serving(backend), observing(Watching()))) as running:
        _, text = await running.post({"model": "m", "stream": True}, "/toy")
    assert "Run: acme login" in str(text)


async def test_who_the_provider_sees(toybox: Toybox, provider: Provider) -> None:
    """The deployment may name its own program, or let the client's through."""
    provider.answers(whole({"said": "Hello"}))
    backend = at(provider, identity=Identity(user_agent="client", x_title="Shop"))
    async with run_gateway(toybox.deployment(serving(backend))) as running:
        await running.post({"model": "m"}, "/toy", user_agent="acme/1", x_title="other")
    headers = provider.seen[0].headers
    assert ("acme/1", "Shop") == (headers["user-agent"], headers["x-title"])


@define(eq=False, kw_only=True)
class Paged(ToyHttp):
    """A back-end whose list has pages."""

    def further_models(self, body: bytes) -> str | None:
        page = jsons.loads(body).get("next")
        return f"{self.models_url}?page={page}" if page else None


async def test_a_list_of_models_has_pages(toybox: Toybox, provider: Provider) -> None:
    """All are read, up to a hundred, for a provider whose pages never end."""
    provider.answers(whole({"models": ["a"], "next": 2}), whole({"models": ["b"]}))
    async with run_gateway(toybox.deployment(serving(Paged(base_url=provider.base_url)))) as running:
        assert ["toy:a", "toy:b"] == [one.id for one in await running.gateway.models()]
    assert 2 == len(provider.seen)


async def test_an_untouched_body_goes_out_as_it_came(toybox: Toybox, provider: Provider) -> None:
    """Every byte of it."""
    provider.answers(whole({"said": "Hello"}))
    body = b'{ "model":"m",\n "stream":false, "odd": 1.50e0, "s\\u0061y": "Hi" }'
    async with run_gateway(toybox.deployment(serving(at(provider)))) as running:
        await running.post(body, "/toy")

    assert body == provider.seen[0].body


async def test_a_large_body(toybox: Toybox, provider: Provider) -> None:
    """More than a megabyte goes through, whole and with its length, and without a warning."""
    provider.answers(whole({"said": "Hello"}))
    body = jsons.dumps({"model": "m", "say": "x" * 3_000_000})
    async with (
        run_gateway(toybox.deployment(serving(at(provider)))) as running,
        running.http.post(running.url + "/toy", data=io.BytesIO(body)) as response,
    ):
        assert 200 == response.status

    assert (body, str(len(body))) == (provider.seen[0].body, provider.seen[0].headers["content-length"])


@pytest.mark.parametrize("base_url", ["http://h/v1", "http://h/v1/", "http://h/v1//"])
def test_the_url(base_url: str) -> None:
    """A slash at the end of the base URL makes no difference."""
    assert "http://h/v1/say" == ToyHttp(base_url=base_url).url(Target("toy", "m"), request())


# ---- relaying and reading -----------------------------------------------------------------------


async def test_frames_are_relayed_where_nobody_looks(toybox: Toybox, provider: Provider) -> None:
    """In the same dialect the client gets the provider's bytes, those we do not know among them."""
    odd = b': comment\n\nid: 7\r\ndata:{"say" : "Hel"}\r\n\r\n'
    provider.answers(stream(odd, frame(end="end")))
    async with run_gateway(toybox.deployment(serving(at(provider)))) as running:
        status, text = await running.post({"model": "m", "stream": True}, "/toy")

    assert (200, (odd + frame(end="end")).decode()) == (status, text)


@pytest.mark.parametrize("cut", [0, 9])
async def test_what_stands_behind_the_end_is_relayed(toybox: Toybox, provider: Provider, cut: int) -> None:
    """The provider that says more at once is not cut short, wherever its bytes are cut."""
    more = frame(say="more")
    last = frame(end="end") + more[:cut]
    provider.answers(stream(frame(say="Hel"), last, more[cut:]))
    async with run_gateway(toybox.deployment(serving(at(provider)))) as running:
        told = await running.post({"model": "m", "stream": True}, "/toy")
        assert (200, (frame(say="Hel") + last + more[cut:]).decode()) == told


@pytest.mark.parametrize("who", [observing(Watching()), *filtering(Tagging(""))])
async def test_events_are_read_where_somebody_looks(toybox: Toybox, provider: Provider, who: type) -> None:
    """A filter or an observer of events has the frames read."""
    provider.answers(HELLO)
    gateway = toybox.gateway(who, serving(at(provider)))
    async with gateway.running():
        one = exchange(gateway)
        one.reads_events = True
        events = [event async for event in gateway.backends["toy"].stream(one, Target("toy", "m"), request())]

    assert ["Hel", "lo"] == [event.fragment for event in events if isinstance(event, BlockDelta)]


async def test_another_dialect_is_read(toybox: Toybox, provider: Provider) -> None:
    """A client of another dialect cannot be given the provider's frames."""
    provider.answers(HELLO)
    gateway = toybox.gateway(serving(at(provider)))

    class Other(Toy):
        name: ClassVar[str] = "other"

    async with gateway.running():
        one = exchange(gateway)
        one.dialect = Other()
        events = [event async for event in gateway.backends["toy"].stream(one, Target("toy", "m"), request())]

    assert not any(isinstance(event, Raw) for event in events)


@pytest.mark.parametrize("asked", [True, False])
@pytest.mark.parametrize("answer", [HELLO, whole({"said": "Hello"})])
async def test_what_came_decides(toybox: Toybox, provider: Provider, asked: bool, answer: Any) -> None:
    """A provider that answers whole when asked to stream, or the reverse, is understood."""
    provider.answers(answer)
    async with run_gateway(toybox.deployment(serving(at(provider)))) as running:
        status, body = await running.post({"model": "m", "stream": asked}, "/toy")

    assert 200 == status
    if asked:
        frames = [jsons.loads(one.removeprefix("data: ").encode()) for one in body.strip().split("\n\n")]
        assert "Hello" == "".join(one.get("say", "") for one in frames)
        assert {"end": "end"} == frames[-1]
    else:
        assert {"said": "Hello"} == body


async def test_the_laws_hold(toybox: Toybox, provider: Provider) -> None:
    """What a back-end over HTTP gives keeps the laws of events."""
    provider.answers(HELLO)
    gateway = toybox.gateway(serving(at(provider)))
    async with gateway.running():
        one = exchange(gateway)
        one.reads_events = True
        reply = await check_backend(gateway.backends["toy"], one, Target("toy", "m"), request())

    assert 1 == len(reply.choices)


async def test_what_came_in_one_read_leaves_in_one_write(toybox: Toybox, provider: Provider) -> None:
    """Also where events are read and written anew; what came later leaves later."""
    more = asyncio.Event()
    provider.answers(stream(frame(say="a") + frame(say="b") + frame(say="c"), Wait(more), frame(say="d"), frame(end="end")))
    watching = Watching()
    async with run_gateway(toybox.deployment(observing(watching), serving(at(provider)))) as running:
        asking = asyncio.ensure_future(running.post({"model": "m", "stream": True}, "/toy"))
        await until(lambda: watching.heard("client", "out"))
        more.set()
        await asking

    out = [data for leg, way, data in watching.wires if (leg, way) == ("client", "out")]
    assert frame(say="a") + frame(say="b") + frame(say="c") == out[0]
    assert frame(say="d") + frame(end="end") == b"".join(out[1:])


async def test_observers_see_the_providers_socket(toybox: Toybox, provider: Provider) -> None:
    """The request as it was written for the provider, and its answer as it came; also a refusal."""
    watching = Watching()
    provider.answers(HELLO, whole({"busy": 1}, 503))
    async with run_gateway(toybox.deployment(observing(watching), serving(at(provider)))) as running:
        await running.post({"model": "toy:m", "say": "Hi", "stream": True}, "/toy")
        await running.post({"model": "toy:m", "say": "Hi", "stream": True}, "/toy")

    assert 2 * b'{"model":"m","say":"Hi","stream":true}' == watching.heard("provider", "out")
    assert frame(say="Hel") + frame(say="lo") + frame(end="end") + b'{"busy": 1}' == watching.heard("provider", "in")


async def test_headers_that_mean_something_reach_the_client(toybox: Toybox, provider: Provider) -> None:
    """Of a provider's headers the client gets those that its dialect names."""
    provider.answers(whole({"said": "Hello"}, retry_after="7", x_internal="secret"))
    async with (
        run_gateway(toybox.deployment(serving(at(provider)))) as running,
        running.http.post(running.url + "/toy", json={"model": "m"}) as response,
    ):
        headers = response.headers

    assert ("7", None) == (headers.get("retry-after"), headers.get("x-internal"))


# ---- connections --------------------------------------------------------------------------------


async def test_connections_are_kept(toybox: Toybox, provider: Provider) -> None:
    """Exchanges one after the other share a connection."""
    provider.answers(whole({"said": "Hello"}))
    async with run_gateway(toybox.deployment(serving(at(provider)))) as running:
        for _ in range(3):
            assert 200 == (await running.post({"model": "m"}, "/toy"))[0]

    assert (3, 1) == (len(provider.seen), provider.connections)


async def test_a_stale_connection_is_tried_once_more(toybox: Toybox, provider: Provider) -> None:
    """A kept connection that the provider closes when it is used costs the client nothing."""
    provider.answers(whole({"said": "Hello"}), raw(Break()), whole({"said": "again"}))
    async with run_gateway(toybox.deployment(serving(at(provider)))) as running:
        assert (200, {"said": "Hello"}) == await running.post({"model": "m"}, "/toy")
        assert (200, {"said": "again"}) == await running.post({"model": "m"}, "/toy")


async def test_not_on_a_fresh_one(toybox: Toybox, provider: Provider) -> None:
    """A provider that closes a fresh connection without a word has failed: asking again might be paid for twice."""
    provider.answers(raw(Break()))
    async with run_gateway(toybox.deployment(serving(at(provider)))) as running:
        status, body = await running.post({"model": "m"}, "/toy")

    assert (502, 1) == (status, len(provider.seen))
    assert "closed the connection without an answer" in body["error"]


async def test_a_failed_attempt_lets_the_provider_go(toybox: Toybox, provider: Provider) -> None:
    """When the client leaves in the middle of an answer, the connection to the provider is closed."""
    provider.answers(stream(frame(say="Hel"), Hang()))
    async with run_gateway(toybox.deployment(serving(at(provider)))) as running:
        async with running.http.post(running.url + "/toy", json={"model": "m", "stream": True}) as response:
            await response.content.readany()
        async with asyncio.timeout(5):
            await provider.left.wait()


async def test_a_client_that_leaves_is_not_the_providers_fault(toybox: Toybox, provider: Provider) -> None:
    """When a write to the client fails while the transport hands on what it read, the client has left, and nobody failed."""

    @define(eq=False)
    class Cutting(Watching):
        def wire(self, leg: Any, direction: Any, data: bytes) -> None:
            if (leg, direction) == ("provider", "in"):
                [one] = running.gateway.exchanges
                transport = one.flush.__self__.request.transport
                if one.writes:
                    transport.close()  # what comes next is written before anybody hears of it

    more, watching = asyncio.Event(), Cutting()
    provider.answers(stream(frame(say="a"), Wait(more), frame(say="b") + frame(say="c"), Hang()))
    async with (
        run_gateway(toybox.deployment(observing(watching), serving(at(provider)))) as running,
        running.http.post(running.url + "/toy", json={"model": "m", "stream": True}) as response,
    ):
        await response.content.readany()
        more.set()
        await until(lambda: watching.ends)

    assert [asyncio.CancelledError] == list(map(type, watching.ends))


# ---- failures -----------------------------------------------------------------------------------


async def failure(toybox: Toybox, backend: ToyHttp, **proxy: Any) -> GatewayError:
    """What an attempt at this back-end raises."""
    gateway = toybox.gateway(serving(backend), proxy=proxy)
    async with gateway.running():
        try:
            async for event in backend.stream(exchange(gateway), Target("toy", "m"), request()):
                assert not isinstance(event, ResponseEnd)
        except GatewayError as error:
            return error
    pytest.fail("it did not fail")


async def test_a_refusal_is_the_providers_own(toybox: Toybox, provider: Provider) -> None:
    """Its status, headers and body are kept, and the dialect says what kind it is."""
    provider.answers(whole(b"slow down", 429, retry_after="7"))
    error = await failure(toybox, at(provider))

    assert isinstance(error, UpstreamRefused)
    assert (429, b"slow down", "7", "rate_limited") == (
        error.upstream and error.upstream.status,
        error.upstream and error.upstream.body,
        error.upstream and error.upstream.headers["retry-after"],
        error.kind,
    )


async def test_of_an_endless_refusal_enough_is_read(toybox: Toybox, provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    """A provider's error is bounded."""
    monkeypatch.setattr("llmgw.transport.ERROR_LIMIT", 1000)
    provider.answers(whole(b"x" * 100_000, 500))
    error = await failure(toybox, at(provider))

    assert isinstance(error, UpstreamError) and error.upstream is not None
    assert 1000 == len(error.upstream.body)


@pytest.mark.parametrize("status", [301, 302, 307, 308, 304])
async def test_a_redirect_is_not_followed(toybox: Toybox, provider: Provider, status: int) -> None:
    """It would carry the key to wherever it points."""
    async with Provider.start() as thief:
        provider.answers(whole(b"", status, location=thief.base_url))
        error = await failure(toybox, at(provider))

    assert isinstance(error, UpstreamBroken) and "redirect" in error.message
    assert (1, 0) == (len(provider.seen), len(thief.seen))


@pytest.mark.parametrize(
    "answer",
    [stream(frame(say="Hel"), Break()), stream(frame(say="Hel")), stream(b'data: {"sa', Break())],
    ids=["cut", "no end", "half"],
)
async def test_a_reply_that_breaks_off_is_no_success(toybox: Toybox, provider: Provider, answer: Any) -> None:
    """However a provider stops before the end, the client gets an error."""
    provider.answers(answer)
    for who in ([], [observing(Watching())]):  # relayed, and read
        async with run_gateway(toybox.deployment(*who, serving(at(provider)))) as running:
            status, body = await running.post({"model": "m", "stream": True}, "/toy")
        assert 1 == str(body).count('"error"') if status == 200 else "broke off" in body["error"]


async def test_a_whole_reply_that_breaks_off_is_no_success(toybox: Toybox, provider: Provider) -> None:
    """Half a body is no reply."""
    provider.answers(whole(b'{"said": "Hello"}'), raw(b'HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{"said": ', Break()))
    async with run_gateway(toybox.deployment(serving(at(provider)))) as running:
        assert 200 == (await running.post({"model": "m"}, "/toy"))[0]
        assert 502 == (await running.post({"model": "m"}, "/toy"))[0]


async def test_nobody_listens(toybox: Toybox) -> None:
    """A refused connection is told with the address and what to look at, and is not tried twice."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{sock.getsockname()[1]}"
        error = await failure(toybox, ToyHttp(base_url=f"{url}/secret/path?key=1"))

    assert isinstance(error, UpstreamUnreachable)
    assert f"The back-end 'toy' ({url}) cannot be reached. Is it running, and is its base_url right?" == error.message


async def test_what_is_no_http(toybox: Toybox, provider: Provider) -> None:
    """Garbage is the provider's fault."""
    provider.answers(raw(b"garbage\r\n\r\n", Break()))
    error = await failure(toybox, at(provider))

    assert isinstance(error, UpstreamBroken) and "not HTTP" in error.message


@pytest.mark.parametrize("url", ["", "nonsense", "http://", "http://[::1", "http://h:port", "ftp://h"])
async def test_a_base_url_that_is_none(toybox: Toybox, url: str) -> None:
    """It is the deployment's fault, and no bug."""
    error = await failure(toybox, ToyHttp(base_url=url))

    assert isinstance(error, Misconfigured) and "base_url" in error.message


KEY = ConnectionKey("h", 443, True, True, None, None, None)


@pytest.mark.parametrize(
    ("error", "expected", "words"),
    [
        (aiohttp.ServerDisconnectedError(), UpstreamBroken, "without an answer"),
        (aiohttp.ClientConnectorDNSError(KEY, OSError(1, "x")), UpstreamUnreachable, "unknown to the network"),
        (aiohttp.ClientConnectorError(KEY, OSError(1, "x")), UpstreamUnreachable, "cannot be reached"),
        (aiohttp.ClientOSError(104, "reset"), UpstreamUnreachable, "cannot be reached"),
        (aiohttp.ConnectionTimeoutError(), UpstreamTimeout, "in time"),
        (aiohttp.SocketTimeoutError(), UpstreamTimeout, "in time"),
        (aiohttp.ClientConnectorCertificateError(KEY, ssl.CertificateError()), UpstreamUnreachable, "certificate"),
        (aiohttp.ClientConnectorSSLError(KEY, OSError(1, "x")), UpstreamUnreachable, "certificate"),
        (aiohttp.ClientPayloadError(), UpstreamBroken, "not HTTP"),
        (aiohttp.InvalidURL("x"), Misconfigured, "base_url"),
        (TimeoutError(), UpstreamTimeout, "in time"),
    ],
    ids=lambda one: type(one).__name__ if isinstance(one, BaseException) else "",
)
async def test_each_failure_of_http_is_one_of_ours(toybox: Toybox, error: Exception, expected: type, words: str) -> None:
    """Whatever aiohttp raises, the client hears whose fault it is and where, and nothing of the URL but its origin."""
    backend = ToyHttp(base_url="https://user:secret@h/secret?key=secret")
    gateway = toybox.gateway(serving(backend))
    async with gateway.running():
        with aioresponses() as faked:
            faked.get("https://user:secret@h/secret?key=secret/models", exception=error)
            with pytest.raises(expected) as caught:
                await backend.models(gateway)

    assert words in str(caught.value)
    assert "secret" not in str(caught.value)


# ---- models -------------------------------------------------------------------------------------


async def listed(toybox: Toybox, answers: Mapping[str, Any]) -> Any:
    """What a back-end lists when its provider answers so."""
    backend = ToyHttp(base_url="http://h/v1")
    gateway = toybox.gateway(serving(backend))
    async with gateway.running():
        with aioresponses() as faked:
            faked.get("http://h/v1/models", **answers)
            models = await backend.models(gateway)
        [[call]] = faked.requests.values()
        assert "Bearer key-of-default" == call.kwargs["headers"]["authorization"]
        return models


async def test_models_are_the_providers_list(toybox: Toybox) -> None:
    """Asked for with the credential, and read by the dialect."""
    assert [ModelInfo("a"), ModelInfo("b")] == await listed(toybox, {"payload": {"models": ["a", "b"]}})


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ({"body": "no", "status": 401}, UpstreamRefused),
        ({"body": "<html>"}, UpstreamBroken),
        ({"payload": {"models": None}}, UpstreamBroken),
        ({"body": "", "status": 302, "headers": {"location": "http://elsewhere/"}}, UpstreamError),
    ],
)
async def test_a_list_that_is_none(toybox: Toybox, answers: Mapping[str, Any], expected: type) -> None:
    """A provider that does not list models has failed."""
    with pytest.raises(expected):
        await listed(toybox, answers)


# ---- in another dialect -------------------------------------------------------------------------


def abroad(provider: Provider, **more: Any) -> AbroadHttp:
    """A back-end of this provider, which speaks another dialect."""
    return AbroadHttp(base_url=provider.base_url, **more)


def callers() -> type:
    """A plugin that believes everybody the name they give."""

    async def check(one: Exchange) -> Principal:
        return Principal(one.head.headers["caller"])

    def authenticate(exchange: Exchange) -> Awaitable[Principal]:
        return check(exchange)

    return plugin(authenticate=authenticate)


@pytest.mark.parametrize(("answer", "word"), [(HELLO, "Hello"), (whole({"said": "lo"}), "lo")])
async def test_what_a_crossing_keeps_is_its_callers(toybox: Toybox, provider: Provider, answer: Any, word: str) -> None:
    """A later request of the same caller is given it, one of another caller is not."""
    provider.answers(answer)
    names = ["ada", "ada", "bob", "ada:2", "bob"]
    async with run_gateway(toybox.deployment(callers(), serving(abroad(provider)))) as running:
        for name in names:
            assert 200 == (await running.post({"model": "m", "say": "Hi"}, "/toy", caller=name))[0]

    assert ["Hi", f"Hi({word})", "Hi", "Hi", f"Hi({word})"] == [seen.json["say"] for seen in provider.seen]


async def test_callers_names_do_not_run_together(toybox: Toybox, provider: Provider) -> None:
    """Whatever characters a name and a key have, another caller's state is never found."""
    gateway = toybox.gateway()
    one, other = exchange(gateway), exchange(gateway)
    one.principal, other.principal = Principal("ada"), Principal("ada:word")

    assert transport._key(one, "word:x") != transport._key(other, "x")
    assert transport._key(one, "x") != transport._key(exchange(gateway), "x")


async def test_it_is_kept_before_the_client_has_the_end(toybox: Toybox, provider: Provider) -> None:
    """The next request may come as soon as that is there."""
    provider.answers(HELLO)
    gateway = toybox.gateway(serving(abroad(provider)))
    async with gateway.running():
        events = gateway.backends["toy"].stream(exchange(gateway), Target("toy", "m"), request())
        async with aclosing(events):
            async for event in events:
                if isinstance(event, ResponseEnd):
                    break
            assert "Hello" == await gateway.state.get(transport._key(exchange(gateway), "word"))


async def test_of_a_reply_that_broke_off_it_is_kept_too(toybox: Toybox, provider: Provider) -> None:
    """What the client has got of it may come back."""
    provider.answers(stream(frame(say="Hel"), Hang()))
    gateway = toybox.gateway(serving(abroad(provider)))
    async with gateway.running():
        events = gateway.backends["toy"].stream(exchange(gateway), Target("toy", "m"), request())
        async for event in events:
            if isinstance(event, BlockDelta):
                break
        await events.aclose()
        assert "Hel" == await gateway.state.get(transport._key(exchange(gateway), "word"))


async def test_refused_state_is_not_kept_any_longer(toybox: Toybox, provider: Provider) -> None:
    """What an earlier exchange kept is forgotten when the provider refuses opaque state, and not put back in the second try."""
    provider.answers(HELLO, whole({"carriers": True}, 400), whole({"said": "b"}))
    async with run_gateway(toybox.deployment(serving(abroad(provider)))) as running:
        for _ in range(2):
            assert 200 == (await running.post({"model": "m", "say": "Hi", "state": ["s"]}, "/toy"))[0]

    assert ["Hi", "Hi(Hello)", "Hi"] == [seen.json["say"] for seen in provider.seen]


@pytest.mark.parametrize("asked", [True, False])
async def test_a_crossing_may_end_a_reply_early(toybox: Toybox, provider: Provider, asked: bool) -> None:
    """The client has its end at once, and the provider, who would say more, is let go."""
    provider.answers(stream(frame(say="Hel"), frame(say="STOP") + frame(say="more"), Hang()))
    async with run_gateway(toybox.deployment(serving(abroad(provider)))) as running:
        status, body = await running.post({"model": "m", "stream": asked}, "/toy")
        async with asyncio.timeout(5):
            await provider.left.wait()

    assert (200, (frame(say="Hel") + frame(end="end")).decode() if asked else {"said": "Hel"}) == (status, body)


async def test_frames_of_another_dialect_are_never_relayed(toybox: Toybox, provider: Provider) -> None:
    """They are read, even where nobody looks, and led back through the crossing."""
    provider.answers(HELLO)
    gateway = toybox.gateway(serving(abroad(provider)))
    async with gateway.running():
        one = exchange(gateway)
        events = [event async for event in gateway.backends["toy"].stream(one, Target("toy", "m"), request())]

    assert "Hello" == "".join(event.fragment for event in events if isinstance(event, BlockDelta))
    assert not any(isinstance(event, Raw) for event in events)


def test_what_came_in_one_read_is_one_piece() -> None:
    """Neighbouring pieces of one block are joined, those of two never, and of several counts the last stands."""
    one, other = (functools.partial(BlockDelta, index=index, channel="text") for index in (0, 1))
    thought = BlockDelta(index=0, channel="reasoning", fragment="hm")
    counts = [UsageUpdate(usage=Usage(output_total=count)) for count in (1, 2)]
    came = [
        one(fragment="a"),
        counts[0],
        one(fragment="b"),
        other(fragment="c"),
        counts[1],
        thought,
        one(fragment="d"),
        BlockStop(index=0),
    ]

    joint = list(transport.joined(came))

    assert [one(fragment="ab"), other(fragment="c"), thought, one(fragment="d"), counts[1], BlockStop(index=0)] == joint
    assert [] == list(transport.joined([]))


@pytest.mark.parametrize("refusing", [True, False])
async def test_a_reply_may_be_continued(toybox: Toybox, provider: Provider, monkeypatch: Any, refusing: bool) -> None:
    """A crossing may ask further; its losses are told once, and what the provider refused before is left out there, too."""

    def further(self: Crossway) -> Request | None:
        return self.asked.with_prompt(items=(Message(role="user", parts=(Text(self.more.pop()),)),)) if self.more else None

    def back(self: Crossway, event: Event) -> Iterable[Event]:
        if isinstance(event, BlockDelta) and event.fragment.endswith("MORE"):
            self.more.append("Go on")
            said = event.fragment.removesuffix("MORE")
            return [evolve(event, fragment=said)] if said else []
        started = self.found.setdefault("started", "") if isinstance(event, ResponseStart | BlockStart) else ""
        if started or (self.more and isinstance(event, BlockStop | Stop | ResponseEnd)):
            return []
        if isinstance(event, BlockStart):
            self.found["started"] = "yes"
        return [event]

    exchanges: list[Exchange] = []

    def open_observer(exchange: Exchange) -> Observer | None:
        exchanges.append(exchange)
        return None

    monkeypatch.setattr(Crossway, "further", further)
    monkeypatch.setattr(Crossway, "back", back)
    cut = stream(frame(say="Hel"), frame(say="MORE"), frame(end="end"))
    first = [whole({"field": "top"}, 400)] if refusing else []
    provider.answers(*first, cut, stream(frame(say="lo"), frame(end="end")))
    body = {"model": "m", "say": "Hi", "options": {"top": 1}, "lost": {"seed": "dropped"}, "stream": True}
    async with (
        run_gateway(toybox.deployment(plugin(open_observer=open_observer), serving(abroad(provider)))) as running,
        running.http.post(running.url + "/toy", json=body) as response,
    ):
        data = await response.read()

    assert frame(say="Hel") + frame(say="lo") + frame(end="end") == data
    assert ("seed;top" if refusing else "seed") == response.headers["x-llmgw-losses"]
    assert ["seed", "top"][: 1 + refusing] == [loss.feature for loss in exchanges[0].losses]
    assert [*(["Hi"] if refusing else []), "Hi", "Go on"] == [seen.json["say"] for seen in provider.seen]
    assert not refusing or [True, False, False] == ["top" in seen.json for seen in provider.seen]


async def test_losses_of_a_failed_attempt_are_forgotten(toybox: Toybox, provider: Provider) -> None:
    """Only those of the attempt that answered are told, each once, in the client's words."""

    async def route() -> Any:
        yield Target("toy", "m")
        yield Target("toy", "n")

    exchanges: list[Exchange] = []

    def open_observer(exchange: Exchange) -> Observer | None:
        exchanges.append(exchange)
        return None

    provider.answers(whole(b"no", 500), whole({"field": "top"}, 400), whole({"said": "Hello"}))
    classes = [plugin(open_observer=open_observer), routing(lambda *_: route()), serving(abroad(provider))]
    async with run_gateway(toybox.deployment(*classes)) as running:
        status, _ = await running.post({"model": "m", "options": {"top": 1}, "lost": {"seed": "dropped"}}, "/toy")

    assert (200, 3) == (status, len(provider.seen))
    expected = [Loss("my_seed", "seed", "dropped", "toy", "abroad"), Loss("my_top", "top", "dropped", "toy", "abroad")]
    assert expected == exchanges[0].losses


async def test_what_a_provider_does_not_do(toybox: Toybox, provider: Provider) -> None:
    """An operation for which it has no path is refused, and it is not asked."""
    async with run_gateway(toybox.deployment(serving(abroad(provider)))) as running:
        status, body = await running.post({"model": "m", "say": "Hi"}, "/toy/compact")

    assert (400, "unsupported_feature", []) == (status, body["kind"], provider.seen)
    assert "does not do this: compact" in body["error"]


async def test_each_operation_has_its_path(toybox: Toybox, provider: Provider) -> None:
    """What is asked there is answered as any other request."""

    @define(eq=False, kw_only=True)
    class Compacting(ToyHttp):
        paths: ClassVar[Mapping[Operation, str]] = {"compact": "/shorter"}

    provider.answers(whole({"said": "short"}))
    async with run_gateway(toybox.deployment(serving(Compacting(base_url=provider.base_url)))) as running:
        assert (200, {"said": "short"}) == await running.post({"model": "m", "say": "Hi"}, "/toy/compact")

    assert "/v1/shorter" == provider.seen[0].path


async def test_a_provider_with_several_dialects(toybox: Toybox, provider: Provider) -> None:
    """The back-end says which is spoken for a request, what the model can do, which headers go along and where the list is."""

    @define(eq=False, kw_only=True)
    class Both(ToyHttp):
        def speaks(self, request: Request) -> Dialect:
            return ABROAD if said(request) == "abroad" else TOY

        def profile_of(self, dialect: Dialect, model: str) -> Profile:
            profiles.append((dialect.name, model, dialect.profile(model).stop_max))
            return dialect.profile(model)

        def asking(self, headers: Mapping[str, str]) -> Mapping[str, str]:
            return {"asking": ",".join(headers) or "nothing"}

        @property
        def models_url(self) -> str:
            return self.base_url + "/elsewhere"

    profiles: list[Any] = []
    provider.answers(whole({"said": "Hello", "models": ["m"]}))
    async with run_gateway(toybox.deployment(serving(Both(base_url=provider.base_url)))) as running:
        await running.post({"model": "mm", "say": "abroad"}, "/toy", toy_beta="1")
        await running.post({"model": "mm", "say": "home"}, "/toy", toy_beta="1")
        await running.get("/toy/models")

    assert [("abroad", "mm", 2), ("toy", "mm", None)] == profiles
    assert ["nothing", "toy-beta", "nothing"] == [seen.headers["asking"] for seen in provider.seen]
    assert "/v1/elsewhere" == provider.seen[2].path


# ---- counting -----------------------------------------------------------------------------------


@define(eq=False, kw_only=True)
class Counting(ToyHttp):
    """A provider of the client's own dialect that counts."""

    paths: ClassVar[Mapping[Operation, str]] = {"count_tokens": "/count"}


async def counted(toybox: Toybox, backend: ToyHttp, *more: type, **asked: Any) -> tuple[int, bytes, Any]:
    """Status, body and headers of a count."""
    async with (
        run_gateway(toybox.deployment(*more, serving(backend))) as running,
        running.http.post(running.url + "/toy/count", json={"model": "m", "say": "Hi", **asked}) as response,
    ):
        return response.status, await response.read(), response.headers


async def test_a_count_of_the_same_dialect_is_the_providers_own(toybox: Toybox, provider: Provider) -> None:
    """Every byte of it, asked with every byte of the request."""
    provider.answers(whole(b'{ "count":7, "odd": 1.50 }', retry_after="3"))
    status, body, headers = await counted(toybox, Counting(base_url=provider.base_url))

    assert (200, b'{ "count":7, "odd": 1.50 }', "3") == (status, body, headers["retry-after"])
    assert ("/v1/count", {"model": "m", "say": "Hi"}) == (provider.seen[0].path, provider.seen[0].json)
    assert "x-llmgw-estimated" not in headers and "x-llmgw-exchange" in headers


async def test_a_count_of_another_dialect_is_translated(toybox: Toybox, provider: Provider) -> None:
    """Both ways, with what was lost in its header; what the provider refuses is left out."""
    provider.answers(whole({"field": "top"}, 400), whole(b'{ "count":7, "odd": 1.50 }'))
    status, body, headers = await counted(toybox, abroad(provider), options={"top": 1}, lost={"seed": "dropped"})

    assert (200, b'{"count":7}', "seed;top") == (status, body, headers["x-llmgw-losses"])
    assert "x-llmgw-estimated" not in headers
    assert ["/v1/count", "/v1/count"] == [seen.path for seen in provider.seen]


@pytest.mark.parametrize("status", [404, 405, 500, 503, 302])
async def test_a_provider_that_does_not_count(toybox: Toybox, provider: Provider, status: int) -> None:
    """It is estimated instead, and the answer says so."""
    provider.answers(whole(b"no", status))
    got, body, headers = await counted(toybox, abroad(provider))

    assert (200, "true") == (got, headers["x-llmgw-estimated"])
    assert {"count": estimated(request("Hi").prompt)} == jsons.loads(body)


@pytest.mark.parametrize("answer", [raw(Break()), whole(b"<html>"), whole({"cuont": 1})], ids=["gone", "no json", "no count"])
async def test_a_count_that_is_none(toybox: Toybox, provider: Provider, answer: Any) -> None:
    """It is estimated, too."""
    provider.answers(answer)
    status, _, headers = await counted(toybox, abroad(provider))

    assert (200, "true") == (status, headers["x-llmgw-estimated"])


async def test_a_provider_without_the_path_is_not_asked(toybox: Toybox, provider: Provider) -> None:
    """The back-end knows that it does not count."""
    status, _, headers = await counted(toybox, at(provider))

    assert (200, "true", []) == (status, headers["x-llmgw-estimated"], provider.seen)


@pytest.mark.parametrize("status", [400, 401, 413, 429])
async def test_a_refusal_to_count_is_passed_on(toybox: Toybox, provider: Provider, status: int) -> None:
    """The request itself would be refused as well."""
    provider.answers(whole(b'{"no": 1}', status))
    got, body, _ = await counted(toybox, Counting(base_url=provider.base_url))

    assert (status, b'{"no": 1}') == (got, body)


async def test_filters_see_what_is_counted(toybox: Toybox, provider: Provider) -> None:
    """What will be sent is counted, not what came."""
    provider.answers(whole({"count": 7}))
    await counted(toybox, Counting(base_url=provider.base_url), *filtering(Tagging("a"), Tagging("b")))

    assert "Hiab" == provider.seen[0].json["say"]


async def test_observers_see_a_count(toybox: Toybox, provider: Provider) -> None:
    """What goes to the provider and what comes back."""
    watching = Watching()
    provider.answers(whole(b'{"count": 7}'))
    await counted(toybox, Counting(base_url=provider.base_url), observing(watching))

    assert (b'{"model": "m", "say": "Hi"}', b'{"count": 7}') == (
        watching.heard("provider", "out"),
        watching.heard("provider", "in"),
    )
    assert [None] == watching.ends


async def test_a_count_that_does_not_come(toybox: Toybox, provider: Provider) -> None:
    """A provider that is silent is left, and the count is estimated."""
    provider.answers(raw(Hang()))
    clock = FakeClock()
    async with run_gateway(
        toybox.deployment(serving(Counting(base_url=provider.base_url)), proxy={"silence_timeout": 5.0}), clock=clock.clock
    ) as running:
        asking = asyncio.ensure_future(running.post({"model": "m", "say": "Hi"}, "/toy/count"))
        await until(lambda: provider.seen)
        await clock.advance(10)
        status, body = await asking

    assert (200, {"count": estimated(request("Hi").prompt)}) == (status, body)


# ---- a credential that is kept fresh ------------------------------------------------------------


@define(eq=False, kw_only=True)
class Ended(Renewing):
    """A back-end whose login has ended; ``early`` finds it out before anything is sent."""

    early: bool = False

    async def prepared(self, gateway: Gateway, target: Target) -> None:
        if self.early:
            raise CredentialUnusable("There is no project. Run: acme init")

    async def renewed(self, gateway: Gateway, target: Target, refused: Mapping[str, str]) -> bool:
        raise CredentialUnusable("The login has ended. Run: acme login")


WRONG = whole({"error": "wrong token"}, 401)
GOOD = whole({"said": "Hello"})


async def test_each_request_is_renewed_anew(toybox: Toybox, provider: Provider) -> None:
    """The next one may be renewed twice again."""
    provider.answers(WRONG, WRONG, GOOD, WRONG, WRONG, GOOD)
    async with run_gateway(toybox.deployment(serving(Renewing(base_url=provider.base_url, tokens=4)))) as running:
        assert [200, 200] == [(await running.post({"model": "m"}, "/toy"))[0] for _ in range(2)]

    assert [f"Bearer {n}" for n in (0, 1, 2, 2, 3, 4)] == [seen.headers["authorization"] for seen in provider.seen]


async def test_a_login_that_has_ended(toybox: Toybox, provider: Provider) -> None:
    """The client is told what to run, instead of the provider's words."""
    provider.answers(WRONG)
    async with run_gateway(toybox.deployment(serving(Ended(base_url=provider.base_url)))) as running:
        status, answer = await running.post({"model": "m"}, "/toy")

    assert (401, "The login has ended. Run: acme login") == (status, answer["error"])


async def test_what_must_be_known_first_and_is_not(toybox: Toybox, provider: Provider) -> None:
    """The provider is not asked, and the client is told what to run."""
    provider.answers(GOOD)
    async with run_gateway(toybox.deployment(serving(Ended(base_url=provider.base_url, early=True)))) as running:
        status, answer = await running.post({"model": "m"}, "/toy")

    assert (401, "There is no project. Run: acme init", []) == (status, answer["error"], provider.seen)


@pytest.mark.parametrize("status", [400, 402, 404, 429, 500])
async def test_other_refusals_renew_nothing(toybox: Toybox, provider: Provider, status: int) -> None:
    """Another token would not help."""
    provider.answers(whole({"error": "no"}, status))
    backend = Renewing(base_url=provider.base_url)
    async with run_gateway(toybox.deployment(serving(backend))) as running:
        assert status == (await running.post({"model": "m"}, "/toy"))[0]

    assert ([], 1) == (backend.asked, len(provider.seen))


async def test_a_stream_is_renewed_too(toybox: Toybox, provider: Provider) -> None:
    """Before its first byte."""
    provider.answers(WRONG, HELLO)
    async with run_gateway(toybox.deployment(serving(Renewing(base_url=provider.base_url)))) as running:
        status, text = await running.post({"model": "m", "stream": True}, "/toy")

    assert (200, (frame(say="Hel") + frame(say="lo") + frame(end="end")).decode()) == (status, text)


async def test_a_list_of_models_is_renewed_once(toybox: Toybox, provider: Provider) -> None:
    """Nobody waits for it: where the second token is refused, too, there is no list."""
    provider.answers(WRONG)
    backend = Renewing(base_url=provider.base_url, tokens=9)
    gateway = toybox.gateway(serving(backend))
    async with gateway.running():
        with pytest.raises(UpstreamRefused, match="wrong token"):
            await backend.models(gateway)

    assert ["Bearer 0", "Bearer 1"] == [seen.headers["authorization"] for seen in provider.seen]


# ---- what never passes --------------------------------------------------------------------------

KEYS = ["authorization", "x-api-key", "api-key", "x-goog-api-key", "cookie", "proxy-authorization"]
HOPS = ["connection", "keep-alive", "te", "trailer", "proxy-connection", "x-hop"]


@pytest.mark.parametrize("same", [True, False])
async def test_a_clients_keys_and_hops_stay_behind(toybox: Toybox, provider: Provider, same: bool) -> None:
    """Its key for the gateway is not the provider's business, nor is what belongs to its own connection (RFC 9110, 7.6.1)."""
    provider.answers(GOOD)
    named = Identity(user_agent="client", referer="client", x_title="client", headers={"x-tool": "client"})
    kind = ToyHttp if same else AbroadHttp
    values = {name.replace("-", "_"): "SECRET" for name in [*KEYS, *HOPS, "toy-beta"]} | {"connection": "x-hop, keep-alive"}
    async with run_gateway(toybox.deployment(serving(kind(base_url=provider.base_url, identity=named)))) as running:
        assert 200 == (await running.post({"model": "m"}, "/toy", **values))[0]

    [seen] = provider.seen
    passed = {name for name, value in seen.headers.items() if "SECRET" in value}
    assert ({"toy-beta"} if same else set(), set()) == (passed, set(HOPS) & set(seen.headers))


@pytest.mark.parametrize("name", KEYS)
def test_no_deployment_can_pass_a_clients_key_on(toybox: Toybox, name: str) -> None:
    """Not even by what it says of the client's identity: such a configuration does not start, and it is said where."""

    class Configured(ToyHttp):
        """A back-end of the configuration's."""

        backends = hookimpl(lambda self, gateway: [self])

    config = toybox.deployment(define(eq=False, kw_only=True)(Configured))
    [plug] = config["backends"]
    config["backends"][plug] = {"base_url": "http://h", "identity": {"headers": {name: "client"}}}
    file = toybox.folder / "llmgw.yaml"
    file.write_bytes(jsons.dumps(config))
    with pytest.raises(ConfigError, match=rf"'{name}' shows a key.* @ backends\.{plug}\.identity"):
        Gateway.build(load(file, {}))


async def test_a_providers_hops_stay_behind(toybox: Toybox, provider: Provider) -> None:
    """The same the other way round."""
    provider.answers(whole({"said": "Hello"}, te="SECRET", proxy_authenticate="SECRET", set_cookie="a=SECRET", trailer="SECRET"))
    async with (
        run_gateway(toybox.deployment(serving(at(provider)))) as running,
        running.http.post(running.url + "/toy", json={"model": "m"}) as response,
    ):
        assert [] == [name for name, value in response.headers.items() if "SECRET" in value]
