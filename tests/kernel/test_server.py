from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from attrs import evolve

from llmgw import jsons
from llmgw.config import load
from llmgw.errors import ConfigError, GatewayError, ShuttingDown, Unauthorized
from llmgw.exchange import Exchange
from llmgw.gateway import Gateway
from llmgw.server import Server, _address
from llmgw.stages import Endpoint, Principal
from llmgw.workers import bind
from llmgw_testing import FakeClock, RunningGateway, run_gateway
from tests.toys import (
    FRONT,
    Player,
    Toy,
    Toybox,
    Watching,
    default_set,
    delta,
    ending,
    frame,
    observing,
    opening,
    plugin,
    reply,
    serving,
    turns,
    until,
)

# ---- paths --------------------------------------------------------------------------------------


async def test_a_path_that_is_not_served(toybox: Toybox) -> None:
    """It is refused in the first front-end's dialect, with the nearest path that is served."""
    async with run_gateway(toybox.deployment()) as running:
        status, body = await running.post({}, "/toyy")

    assert (404, "not_found") == (status, body["kind"])
    assert "Did you mean /toy?" in body["error"]


async def test_a_path_like_no_other(toybox: Toybox) -> None:
    """Where no path is near, all that are served are named."""
    async with run_gateway(toybox.deployment()) as running:
        _, body = await running.get("/")

    assert body["error"].endswith(
        "Served are: /toy, /toy/compact, /toy/count, /toy/health, /toy/info, /toy/models, /toy/models/{id:.+}."
    )


async def test_a_method_that_is_not_served(toybox: Toybox) -> None:
    """It is refused in the dialect, and the header says which methods there are (RFC 9110, 15.5.6)."""
    async with run_gateway(toybox.deployment()) as running, running.http.get(running.url + "/toy") as response:
        got = response.status, (await response.json())["kind"], response.headers["allow"]

    assert (405, "invalid_request", "POST") == got


async def test_the_query_is_no_part_of_the_path(toybox: Toybox) -> None:
    """Clients that put a version or a key there are served."""
    async with run_gateway(toybox.deployment()) as running:
        assert 200 == (await running.post({"model": "m"}, "/toy?api-version=1"))[0]


# ---- further routes -----------------------------------------------------------------------------


def page(path: str = "/page") -> type:
    """A plugin with a page."""

    async def show(request: web.Request) -> web.StreamResponse:
        return web.Response(text=f"page {request.match_info.get('n', '')}")

    def extra_routes(gateway: Gateway) -> Iterable[web.RouteDef]:
        return [web.get(path, show)]

    return plugin(extra_routes=extra_routes)


def key(word: str) -> type:
    """A plugin that lets in whoever shows a word."""

    async def check(exchange: Exchange) -> Principal:
        if exchange.head.headers.get("key") != word:
            raise Unauthorized("no")
        return Principal("ada")

    def authenticate(exchange: Exchange) -> Awaitable[Principal]:
        return check(exchange)

    return plugin(authenticate=authenticate)


async def test_further_routes(toybox: Toybox) -> None:
    """A plugin's own pages are served, with patterns where it wants some."""
    async with run_gateway(toybox.deployment(page("/page/{n}"), page())) as running:
        assert (200, "page 7") == await running.get("/page/7")
        assert (200, "page ") == await running.get("/page")


async def test_further_routes_stand_behind_authentication(toybox: Toybox) -> None:
    """A stranger gets the error of the dialect; only the health of the gateway is everybody's."""
    async with run_gateway(toybox.deployment(page(), key("sesame"))) as running:
        assert (401, {"error": "no", "kind": "authentication"}) == await running.get("/page")
        assert (200, "page ") == await running.get("/page", key="sesame")
        assert 200 == (await running.get("/health"))[0]


async def test_a_bug_in_a_further_route_is_ours(toybox: Toybox, caplog: pytest.LogCaptureFixture) -> None:
    """It is answered with 500 in a dialect, and the log has the traceback."""

    async def show(request: web.Request) -> web.StreamResponse:
        raise KeyError("oops")

    def extra_routes(gateway: Gateway) -> Iterable[web.RouteDef]:
        return [web.get("/page", show)]

    async with run_gateway(toybox.deployment(plugin(extra_routes=extra_routes))) as running:
        status, body = await running.get("/page")

    assert (500, "internal") == (status, body["kind"])
    assert [True] == [one.exc_info is not None for one in caplog.records if one.levelno == logging.ERROR]


async def test_unknown_paths_need_no_key(toybox: Toybox) -> None:
    """That there is nothing is no secret."""
    async with run_gateway(toybox.deployment(key("sesame"))) as running:
        assert 404 == (await running.get("/nothing"))[0]


# ---- health -------------------------------------------------------------------------------------


async def test_health(toybox: Toybox) -> None:
    """A gateway that can serve says so, and its version."""
    async with run_gateway(toybox.deployment()) as running:
        status, body = await running.get("/health")

    assert (200, {"status", "version"}, "ok") == (status, set(body), body["status"])


async def test_the_kernel_alone_answers(toybox: Toybox) -> None:
    """With no plugin at all the gateway starts, is found unable, says why, and refuses what it does not serve."""
    async with run_gateway({"defaults": dict.fromkeys(default_set(), False)}) as running:
        status, body = await running.get("/health")
        assert (503, "unavailable", "no front-end is on") == (status, body["status"], body["why"])
        assert 404 == (await running.get("/v1/models"))[0]


async def test_a_gateway_that_stops_is_not_healthy(toybox: Toybox) -> None:
    """Whoever balances load hears that it should go elsewhere."""
    async with run_gateway(toybox.deployment()) as running:
        running.server.stopping.set()
        response = running.server.health()  # over the socket nobody is let in any more

    assert (503, "stopping") == (response.status, jsons.loads(response.text.encode())["why"] if response.text else None)


# ---- lifespans ----------------------------------------------------------------------------------


def living(log: list[str], name: str = "", *, fails: bool = False) -> type:
    """A plugin that holds something open while the gateway serves."""

    @asynccontextmanager
    async def hold() -> AsyncIterator[None]:
        if fails:
            raise OSError(f"{name} does not start")
        log.append(f"{name}+")
        try:
            yield
        finally:
            log.append(f"{name}-")

    def lifespan(gateway: Gateway) -> Any:
        return hold()

    return plugin(lifespan=lifespan)


def idle() -> type:
    """A plugin that holds nothing open."""

    def lifespan(gateway: Gateway) -> None:
        return None

    return plugin(lifespan=lifespan)


async def test_lifespans_are_left_in_reverse(toybox: Toybox) -> None:
    """They are entered in the order of the configuration."""
    log: list[str] = []
    async with run_gateway(toybox.deployment(living(log, "a"), idle(), living(log, "b"))):
        assert ["a+", "b+"] == log

    assert ["a+", "b+", "b-", "a-"] == log


async def test_a_lifespan_that_fails_at_the_start(toybox: Toybox) -> None:
    """The gateway does not serve, and what was open before is closed."""
    log: list[str] = []
    with pytest.RaisesGroup(pytest.RaisesGroup(pytest.RaisesExc(OSError, match="b does not start"))):
        async with run_gateway(toybox.deployment(living(log, "a"), living(log, "b", fails=True))):
            pytest.fail("it serves")

    assert ["a+", "a-"] == log


# ---- reload -------------------------------------------------------------------------------------


def change(running: RunningGateway, config: Mapping[str, Any]) -> None:
    """Write another configuration."""
    running.file.write_bytes(jsons.dumps(dict(config)))


async def test_reload_serves_what_the_file_says_now(toybox: Toybox) -> None:
    """New requests meet the new generation."""
    async with run_gateway(toybox.deployment(serving(Player.of(reply("old"))))) as running:
        change(running, toybox.deployment(serving(Player.of(reply("new"))), page()))
        await running.server.reload()

        assert (200, {"said": "new"}) == await running.post({"model": "m"}, "/toy")
        assert 200 == (await running.get("/page"))[0]


async def test_running_exchanges_finish_on_their_generation(toybox: Toybox) -> None:
    """What the old generation holds open stays so until its last exchange is over, and is closed then."""
    log: list[str] = []
    go = asyncio.Event()
    player = Player.of([*opening("o"), go, delta("ld"), *ending()])
    async with run_gateway(toybox.deployment(living(log, "old"), serving(player))) as running:
        old = running.gateway
        asking = asyncio.ensure_future(running.post({"model": "m"}, "/toy"))
        await until(lambda: player.asked)
        change(running, toybox.deployment(living(log, "new"), serving(Player.of(reply("new")))))
        await running.server.reload()

        assert (200, {"said": "new"}) == await running.post({"model": "m"}, "/toy")
        assert (["old+", "new+"], False) == (log, old.http.closed)
        go.set()
        assert (200, {"said": "old"}) == await asking
        await until(lambda: log[-1] == "old-")
        assert old.http.closed


@pytest.mark.parametrize("broken", ["{", "filters: [nothing]", "proxy: {grace: long}", "default_backend: nowhere"])
async def test_a_broken_file_changes_nothing(toybox: Toybox, broken: str, caplog: pytest.LogCaptureFixture) -> None:
    """The old generation serves on, and the log says why."""
    async with run_gateway(toybox.deployment(serving(Player.of(reply("old"))))) as running:
        before = running.gateway
        running.file.write_text(broken)
        await running.server.reload()

        assert (200, {"said": "old"}) == await running.post({"model": "m"}, "/toy")
        assert before is running.gateway
    assert [True] == [one.message.startswith("not reloaded") for one in caplog.records if one.levelno == logging.ERROR]


async def test_reload_forgets_no_limit(toybox: Toybox) -> None:
    """What is kept in memory, as who asks too much, goes over to the new generation."""
    async with run_gateway(toybox.deployment(serving(Player.of(reply("Hello"))))) as running:
        await running.gateway.state.set("kept", "1")
        before = running.gateway
        await running.server.reload()

        assert before is not running.gateway
        assert "1" == await running.gateway.state.get("kept")


async def test_a_lifespan_that_fails_at_a_reload(toybox: Toybox) -> None:
    """The old generation serves on, and what was opened for the new one is closed."""
    log: list[str] = []
    async with run_gateway(toybox.deployment(serving(Player.of(reply("old"))))) as running:
        change(running, toybox.deployment(living(log, "a"), living(log, "b", fails=True)))
        await running.server.reload()

        assert (200, {"said": "old"}) == await running.post({"model": "m"}, "/toy")
        assert ["a+", "a-"] == log


async def test_routes_that_fail_at_a_reload(toybox: Toybox) -> None:
    """A generation whose paths are wrong is closed again; the old one serves on, and later reloads and the stop find it so."""
    log: list[str] = []
    async with run_gateway(toybox.deployment(living(log, "old"), serving(Player.of(reply("old"))))) as running:
        change(running, toybox.deployment(living(log, "bad"), page("no slash"), serving(Player.of(reply("bad")))))
        await running.server.reload()
        assert (200, {"said": "old"}) == await running.post({"model": "m"}, "/toy")
        assert ["old+", "bad+", "bad-"] == log

        change(running, toybox.deployment(living(log, "new"), serving(Player.of(reply("new")))))
        await running.server.reload()
        assert (200, {"said": "new"}) == await running.post({"model": "m"}, "/toy")
        await until(lambda: log[-1] == "old-")

    assert ["old+", "bad+", "bad-", "new+", "old-", "new-"] == log


def slow(log: list[str], name: str, go: asyncio.Event) -> type:
    """A plugin that takes its time to start."""

    @asynccontextmanager
    async def hold() -> AsyncIterator[None]:
        log.append(f"{name}?")
        await go.wait()
        yield

    def lifespan(gateway: Gateway) -> Any:
        return hold()

    return plugin(lifespan=lifespan)


async def test_reloads_come_one_after_the_other(toybox: Toybox) -> None:
    """However long one takes, the configuration read last is the one that stays."""
    log: list[str] = []
    go = asyncio.Event()
    async with run_gateway(toybox.deployment(serving(Player.of(reply("one"))))) as running:
        change(running, toybox.deployment(slow(log, "two", go), serving(Player.of(reply("two")))))
        first = asyncio.ensure_future(running.server.reload())
        await until(lambda: log)
        change(running, toybox.deployment(serving(Player.of(reply("three")))))
        second = asyncio.ensure_future(running.server.reload())
        go.set()
        await asyncio.gather(first, second)

        assert (200, {"said": "three"}) == await running.post({"model": "m"}, "/toy")


async def test_a_stop_during_a_reload(toybox: Toybox) -> None:
    """The generation that was being made is closed like the others, and the gateway ends."""
    log: list[str] = []
    go = asyncio.Event()
    async with run_gateway(toybox.deployment(serving(Player.of(reply("one"))))) as running:
        change(running, toybox.deployment(slow(log, "two", go)))
        reloading = asyncio.ensure_future(running.server.reload())
        await until(lambda: log)
        running.server.stop()
        running.server.stop()
        await turns()
        go.set()
        await reloading


async def test_a_reload_does_not_open_a_gateway(toybox: Toybox, caplog: pytest.LogCaptureFixture) -> None:
    """One that may not serve on this socket does not, and the log says why."""

    def admit(gateway: Gateway) -> None:
        raise ConfigError("without a key only 127.0.0.1 may be served")

    async with run_gateway(toybox.deployment(serving(Player.of(reply("old"))))) as running:
        before, running.server.admit = running.gateway, admit
        await running.server.reload()

        assert before is running.gateway
    assert ["not reloaded: without a key only 127.0.0.1 may be served"] == [
        one.message for one in caplog.records if one.levelno == logging.ERROR
    ]


async def test_what_takes_a_restart_is_said(toybox: Toybox, caplog: pytest.LogCaptureFixture) -> None:
    """An option that a reload cannot change is named."""
    async with run_gateway(toybox.deployment()) as running:
        change(running, toybox.deployment(proxy={"keepalive_timeout": 7.0}))
        await running.server.reload()

    assert [True] == ["keepalive_timeout" in one.message for one in caplog.records if one.levelno == logging.WARNING]


async def test_the_loader_asks_for_everything_anew(toybox: Toybox) -> None:
    """Front-ends can come and go."""
    async with run_gateway(toybox.deployment()) as running:
        config = toybox.deployment(FRONT)
        config["frontends"] = ["openai-chat"]
        change(running, config)
        await running.server.reload()

        assert 404 == (await running.post({"model": "m"}, "/toy"))[0]
        assert 200 == (await running.get("/v1/models"))[0]


# ---- stop ---------------------------------------------------------------------------------------


async def test_running_exchanges_may_finish(toybox: Toybox) -> None:
    """Within the grace a stop breaks nothing off."""
    go = asyncio.Event()
    player = Player.of([*opening("Hel"), go, delta("lo"), *ending()])
    async with run_gateway(toybox.deployment(serving(player))) as running:
        asking = asyncio.ensure_future(running.post({"model": "m"}, "/toy"))
        await until(lambda: player.asked)
        running.server.stop()
        await turns()
        go.set()

        assert (200, {"said": "Hello"}) == await asking


@pytest.mark.parametrize("stream", [True, False])
async def test_when_the_grace_is_over_they_end_with_an_error(toybox: Toybox, stream: bool) -> None:
    """The client hears that another try will do, and observers of the reason."""
    watching = Watching()
    player = Player.of([*opening("Hel"), asyncio.Event()])
    config = toybox.deployment(observing(watching), serving(player), proxy={"grace": 0.01})
    async with run_gateway(config) as running:
        asking = asyncio.ensure_future(running.post({"model": "m", "stream": stream}, "/toy"))
        await until(lambda: watching.events)
        running.server.stop()
        status, body = await asking

    assert [ShuttingDown] == list(map(type, watching.ends))
    assert (200 if stream else 503) == status
    assert (body.startswith(frame(say="Hel").decode()) if stream else body["kind"] == "overloaded") and 1 == str(body).count(
        "error"
    )


async def test_a_second_stop_does_not_wait(toybox: Toybox) -> None:
    """Who is in a hurry need not wait for the grace to be over."""
    watching = Watching()
    player = Player.of([*opening("Hel"), asyncio.Event()])
    config = toybox.deployment(observing(watching), serving(player), proxy={"grace": 3600.0})
    async with run_gateway(config) as running:
        asking = asyncio.ensure_future(running.post({"model": "m"}, "/toy"))
        await until(lambda: watching.events)
        running.server.stop()
        running.server.stop()

        assert 503 == (await asking)[0]


async def test_signals(toybox: Toybox) -> None:
    """SIGHUP reloads, SIGTERM stops."""
    file = toybox.folder / "llmgw.yaml"
    gateway = toybox.gateway(serving(Player.of(reply("old"))))
    served: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    server = Server(lambda: load(file, {}, port=0), announce=lambda _, address: served.set_result(address))
    serve = asyncio.ensure_future(server.serve(gateway, bind("127.0.0.1", 0)))
    await served
    toybox.config(serving(Player()))
    os.kill(os.getpid(), signal.SIGHUP)
    await until(lambda: server.gateway is not gateway)
    os.kill(os.getpid(), signal.SIGTERM)
    await serve

    assert server.stopping.is_set()


async def test_a_reload_that_is_wanted_before_it_serves(toybox: Toybox) -> None:
    """SIGHUP may come when the configuration has been read already: it waits until there is somebody to hear it."""
    file = toybox.folder / "llmgw.yaml"
    gateway = toybox.gateway(serving(Player.of(reply("old"))))
    toybox.config(serving(Player()))
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})  # as ``llmgw serve`` does before it reads
    signal.raise_signal(signal.SIGHUP)
    server = Server(lambda: load(file, {}, port=0))
    serve = asyncio.ensure_future(server.serve(gateway, bind("127.0.0.1", 0)))
    await until(lambda: server.tables and server.gateway is not gateway)
    server.stop()
    await serve


async def test_the_same_signal_twice_is_one(toybox: Toybox) -> None:
    """A group's signal reaches a worker directly and from its supervisor: only a later one is in a hurry."""
    clock = FakeClock()
    server = Server(lambda: toybox.config(), clock.clock)
    server._told_to_stop()
    clock.now += 0.1
    server._told_to_stop()
    assert (True, False) == (server.stopping.is_set(), server.hurry.is_set())

    clock.now += 1
    server._told_to_stop()
    assert server.hurry.is_set()


@pytest.mark.parametrize(("host", "expected"), [("127.0.0.1", "http://127.0.0.1:"), ("::1", "http://[::1]:")])
def test_the_address_as_a_url(host: str, expected: str) -> None:
    """An IPv6 address stands in brackets."""
    try:
        sock = bind(host, 0)
    except Exception:
        pytest.skip(f"this machine has no {host}")
    with sock:
        assert f"{expected}{sock.getsockname()[1]}" == _address(sock)


# ---- ports of front-ends ------------------------------------------------------------------------


class Kin(Toy):
    """Another dialect, whose errors look otherwise."""

    name = "kin"

    def write_error(self, error: GatewayError) -> bytes:
        return jsons.dumps({"kin": error.message})


KIN = Kin()


def door(port: int = 1) -> type:
    """A front-end with a port of its own."""

    def frontend_endpoints(gateway: Gateway) -> Iterable[Endpoint]:
        return [Endpoint("POST", "/kin", KIN, port=port), Endpoint("GET", "/kin/info", KIN, "info", port)]

    return plugin(frontend_endpoints=frontend_endpoints)


async def test_each_port_serves_its_own(toybox: Toybox) -> None:
    """A front-end's port serves what stands there, and nothing of the gateway's own, nor the reverse; health is everywhere."""
    async with run_gateway(toybox.deployment(FRONT, door(), page())) as running:
        other = evolve(running, url=running.doors[1])

        assert (200, {"said": "Hello"}) == await running.post({"model": "m"}, "/toy")
        assert (200, {"said": "Hello"}) == await other.post({"model": "m"}, "/kin")
        assert (200, "page ") == await running.get("/page")
        assert 404 == (await running.post({"model": "m"}, "/kin"))[0]
        assert [404, 404, 404] == [(await other.get(path))[0] for path in ("/toy/models", "/page", "/toy/info")]
        assert [200, 200] == [(await one.get("/health"))[0] for one in (running, other)]


async def test_a_port_speaks_its_dialect(toybox: Toybox) -> None:
    """Also where nothing is served, where the method is another, and to what is no HTTP."""
    async with run_gateway(toybox.deployment(FRONT, door())) as running:
        other = evolve(running, url=running.doors[1])
        assert (404, {"kin": "There is no /x here. Served are: /kin, /kin/info."}) == await other.get("/x")
        assert (405, {"kin": "/kin is served, but not under GET: use POST."}) == await other.get("/kin")
        assert ["POST /kin", "GET /kin/info"] == (await other.get("/kin/info"))[1]["supported_endpoints"]
        _, port = running.doors[1].rsplit(":", 1)
        reader, writer = await asyncio.open_connection("127.0.0.1", int(port))
        writer.write(b"garbage\r\n\r\n")
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()

    assert b" 400 " in answer[:20] and answer.endswith(b'{"kin":"This is not a request in HTTP/1.1."}')


async def test_all_ports_are_drained(toybox: Toybox) -> None:
    """A stop lets exchanges at each port finish, and then no port takes new connections."""
    go = asyncio.Event()
    player = Player.of([*opening("Hel"), go, delta("lo"), *ending()])
    async with run_gateway(toybox.deployment(FRONT, door(), serving(player))) as running:
        other = evolve(running, url=running.doors[1])
        asking = [asyncio.ensure_future(one.post({"model": "m"}, path)) for one, path in ((running, "/toy"), (other, "/kin"))]
        await until(lambda: len(player.asked) == 2)
        running.server.stop()
        await turns()
        for url in (running.url, running.doors[1]):
            with pytest.raises(ConnectionError):
                await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        assert not any(one.done() for one in asking)
        go.set()

        assert [(200, {"said": "Hello"})] * 2 == await asyncio.gather(*asking)


async def test_a_reload_reaches_all_ports(toybox: Toybox) -> None:
    """The new generation answers at each."""
    async with run_gateway(toybox.deployment(FRONT, door(), serving(Player.of(reply("old"))))) as running:
        other = evolve(running, url=running.doors[1])
        assert (200, {"said": "old"}) == await other.post({"model": "m"}, "/kin")
        running.file.write_bytes(jsons.dumps(toybox.deployment(FRONT, door(), serving(Player.of(reply("new"))))))
        await running.server.reload()

        assert (200, {"said": "new"}) == await other.post({"model": "m"}, "/kin")
        assert (200, {"said": "new"}) == await running.post({"model": "m"}, "/toy")


async def test_a_reload_opens_no_port(toybox: Toybox, caplog: pytest.LogCaptureFixture) -> None:
    """Another port of a front-end is told to need a start; what stood at the old one says that it is gone."""
    async with run_gateway(toybox.deployment(FRONT, door(1))) as running:
        other = evolve(running, url=running.doors[1])
        running.file.write_bytes(jsons.dumps(toybox.deployment(FRONT, door(2))))
        await running.server.reload()

        assert "the port of a front-end has changed, which takes effect only when llmgw is started again" in caplog.text
        assert (200, {"said": "Hello"}) == await running.post({"model": "m"}, "/toy")
        status, body = await other.post({"model": "m"}, "/kin")
        assert (404, "There is no /kin here. Served are: nothing at this port any more.") == (status, body["kin"])
