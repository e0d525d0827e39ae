from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Awaitable, Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest
from attrs import define, evolve

from llmgw import cli, serve
from llmgw.errors import ConfigError
from llmgw.exchange import Exchange
from llmgw.gateway import Gateway
from llmgw.serve import Listening, _admit, _bound, where
from llmgw.stages import Endpoint, Principal
from llmgw.workers import CannotListen, bind
from llmgw_testing import Program
from tests.toys import TOY, Player, Toybox, plugin, serving


def asking() -> type:
    """A plugin that asks for a key."""

    def authenticate(exchange: Exchange) -> Awaitable[Principal] | None:
        return None

    return plugin(authenticate=authenticate)


def idle() -> type:
    """A plugin that would ask for a key if it had one."""

    def authenticate(exchange: Exchange) -> Awaitable[Principal] | None:
        return None

    return plugin(authenticate=authenticate, sits_out=lambda self, config: "KEY is not set")


# ---- where to listen ----------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_this_machine_needs_no_key(toybox: Toybox, host: str) -> None:
    """Nobody else can come in."""
    assert Listening(host, 0) == where(toybox.gateway(proxy={"host": host}))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org"])
def test_without_a_key_nobody_else_is_served(toybox: Toybox, host: str) -> None:
    """Whatever is asked for, only this machine is served, and it is said why and what to do."""
    listening = where(toybox.gateway(proxy={"host": host}))

    assert "127.0.0.1" == listening.host
    assert [f"nobody is asked for a key, so 127.0.0.1 is served instead of {host}; or say --i-know-this-is-open"] == list(
        listening.notes
    )


def test_why_nobody_is_asked(toybox: Toybox) -> None:
    """A plugin that sits out says what it lacks."""
    [note] = where(toybox.gateway(idle(), proxy={"host": "0.0.0.0"})).notes

    assert ": KEY is not set)" in note


def test_with_a_key_everybody_may_come(toybox: Toybox) -> None:
    """Who is asked for a key may come from anywhere."""
    assert Listening("0.0.0.0", 0) == where(toybox.gateway(asking(), proxy={"host": "0.0.0.0"}))


def test_who_knows_may_be_open(toybox: Toybox) -> None:
    """One who says so aloud is believed."""
    assert Listening("0.0.0.0", 0) == where(toybox.gateway(proxy={"host": "0.0.0.0"}), open_to_all=True)


def test_a_reload_may_not_open(toybox: Toybox) -> None:
    """Who listens for others goes on asking for a key, unless it was said that this is known."""
    with pytest.raises(ConfigError, match=r"without a key only 127\.0\.0\.1"):
        _admit("0.0.0.0", False, toybox.gateway())
    with pytest.raises(ConfigError):
        _admit("0.0.0.0", True, toybox.gateway(asking(), auth={"disable_auth": True}))
    _admit("0.0.0.0", False, toybox.gateway(asking()))
    _admit("0.0.0.0", True, toybox.gateway())
    _admit("127.0.0.1", False, toybox.gateway())


@pytest.mark.parametrize("open_to_all", [True, False])
def test_authentication_disabled_serves_this_machine(toybox: Toybox, open_to_all: bool) -> None:
    """Even where one says that one knows."""
    gateway = toybox.gateway(asking(), proxy={"host": "0.0.0.0"}, auth={"disable_auth": True})
    listening = where(gateway, open_to_all)

    assert ("127.0.0.1", ("authentication is disabled, so 127.0.0.1 is served instead of 0.0.0.0",)) == (
        listening.host,
        listening.notes,
    )


# ---- back-ends whose login is one person's ------------------------------------------------------


@define(eq=False)
class Personal(Player):
    """A back-end whose vendor's terms allow its login to nobody else."""

    name: str = "mine"
    notices: Sequence[str] = ("the terms of Acme allow this login to you alone",)
    loopback_only: bool = True


@pytest.mark.parametrize("open_to_all", [True, False])
@pytest.mark.parametrize("others", [[], [asking()]])
def test_a_personal_login_serves_this_machine(toybox: Toybox, others: list[type], open_to_all: bool) -> None:
    """Also where everybody is asked for a key, and where somebody knows; it is said whose terms these are."""
    gateway = toybox.gateway(*others, serving(Personal()), proxy={"host": "0.0.0.0"})
    note = "the terms of 'mine' allow its login to nobody but you, so 127.0.0.1 is served instead of 0.0.0.0"
    assert Listening("127.0.0.1", 0, (note,)) == where(gateway, open_to_all)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_a_personal_login_on_this_machine(toybox: Toybox, host: str) -> None:
    """There is nothing to say."""
    assert Listening(host, 0) == where(toybox.gateway(serving(Personal()), proxy={"host": host}))


@pytest.mark.parametrize("open_to_all", [True, False])
def test_a_reload_may_not_bring_a_personal_login_to_others(toybox: Toybox, open_to_all: bool) -> None:
    """Who listens for others stays without it; on this machine it may come."""
    gateway = toybox.gateway(asking(), serving(Personal()))
    with pytest.raises(ConfigError, match=r"with 'mine' only 127\.0\.0\.1 may be served.*listens on 0\.0\.0\.0 @ backends\.mine"):
        _admit("0.0.0.0", open_to_all, gateway)
    _admit("127.0.0.1", open_to_all, gateway)


def test_notices_are_logged_at_the_start(toybox: Toybox, caplog: pytest.LogCaptureFixture) -> None:
    """A vendor's terms, by the back-end, before anybody is served."""
    toybox.config(serving(Personal()))
    with bind("127.0.0.1", 0) as sock:
        sock.listen()
        taken = str(sock.getsockname()[1])
        assert 1 == serve.run(options("--config", str(toybox.folder / "llmgw.yaml"), "--port", taken))
    assert ["the terms of Acme allow this login to you alone @ backends.mine"] == [
        record.getMessage() for record in caplog.records if record.levelname == "WARNING"
    ]


# ---- before anything is opened ------------------------------------------------------------------


def options(*words: str) -> argparse.Namespace:
    """A command line, read."""
    return cli.parser(["serve"]).parse_args(["serve", *words])


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """The logging of the tests is theirs."""
    monkeypatch.setattr("llmgw.logs.configure", lambda level, form: None)


def test_no_worker_is_a_mistake() -> None:
    """There must be one."""
    with pytest.raises(ConfigError, match="at least one worker, found 0 @ --workers"):
        serve.run(options("--workers", "0"))


def test_a_loop_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message has the command that installs it."""
    monkeypatch.setitem(sys.modules, "uvloop", None)
    with pytest.raises(ConfigError, match=r"pip install 'llmgw\[speed\]' @ --loop"):
        serve.run(options("--loop", "uvloop"))


def test_a_port_that_is_taken(capsys: pytest.CaptureFixture[str]) -> None:
    """It ends with 1, and one line."""
    with bind("127.0.0.1", 0) as sock:
        sock.listen()
        assert 1 == serve.run(options("--port", str(sock.getsockname()[1])))

    assert "address already in use" in capsys.readouterr().err


# ---- as a program -------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 2])
def test_it_serves_and_stops(serve: Any, workers: int) -> None:
    """It says where, answers, and ends with 0 when it is told to."""
    program: Program = serve("--workers", str(workers))

    assert f"listens on {program.url} (asks for no key, serves this machine)" in program.banner
    assert 200 == program.get("/health")[0]
    assert 0 == program.stop()


def test_a_plugin_that_does_not_start(
    toybox: Toybox, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """It ends with 1, and the log has the reason."""

    def lifespan(gateway: Gateway) -> Any:
        raise OSError("no disk")

    toybox.config(plugin(lifespan=lifespan))
    file = str(Path(toybox.folder) / "llmgw.yaml")

    assert 1 == serve.run(options("--config", file, "--port", "0"))
    assert "no disk" in caplog.text


# ---- ports of front-ends ------------------------------------------------------------------------


def door(*ports: int) -> type:
    """A front-end with ports of its own."""

    def frontend_endpoints(gateway: Gateway) -> Iterable[Endpoint]:
        return [Endpoint("POST", "/toy", TOY, port=port) for port in (None, *ports)]

    return plugin(frontend_endpoints=frontend_endpoints)


def free() -> int:
    """A port that is free."""
    with bind("127.0.0.1", 0) as sock:
        number: int = sock.getsockname()[1]
        return number


@pytest.mark.parametrize("shared", [True, False])
def test_each_port_is_bound(toybox: Toybox, shared: bool) -> None:
    """The gateway's own and those of front-ends, on the same address; 0 is any free one."""
    port = free()
    sockets = _bound(toybox.gateway(door(port, 0)), Listening("127.0.0.1", 0), shared=shared)
    try:
        assert {None, 0, port} == set(sockets)
        assert port == sockets[port].getsockname()[1]
        assert 3 == len({sock.getsockname() for sock in sockets.values()})
        assert {"127.0.0.1"} == {sock.getsockname()[0] for sock in sockets.values()}
    finally:
        for sock in sockets.values():
            sock.close()


def test_a_further_port_that_is_taken(toybox: Toybox) -> None:
    """Nothing that was bound before it stays open."""
    with bind("127.0.0.1", 0) as sock:
        sock.listen()
        with pytest.raises(CannotListen, match="address already in use"):
            _bound(toybox.gateway(door(sock.getsockname()[1])), Listening("127.0.0.1", 0))


def test_the_gateways_own_port_is_no_further_one(toybox: Toybox) -> None:
    """Two tables of paths at one port would answer by turns."""
    with pytest.raises(ConfigError, match=r"wants port 8000 for itself, which is the gateway's own @ proxy\.port"):
        _bound(toybox.gateway(door(8000)), Listening("127.0.0.1", 8000), shared=True)


@pytest.mark.parametrize("workers", [1, 2])
def test_it_serves_two_ports(serve: Any, workers: int) -> None:
    """A flag gives a front-end a port of its own; the banner says which it got, and both end together."""
    program: Program = serve("--workers", str(workers), "--anthropic-port", "next")
    found = re.search(r":(\d+)/v1/messages", program.banner)
    assert found is not None
    other = evolve(program, url=f"http://127.0.0.1:{found[1]}")

    assert found[1] not in program.url
    assert (200, 200) == (program.get("/health")[0], other.get("/health")[0])
    assert (404, 200) == (program.get("/info")[0], other.get("/info")[0])
    assert 0 == program.stop()


def test_a_port_by_its_number(serve: Any) -> None:
    """It is the one that was asked for."""
    port = free()
    program: Program = serve("--anthropic-port", str(port))

    assert f":{port}/v1/messages" in program.banner
    assert 200 == evolve(program, url=f"http://127.0.0.1:{port}").get("/info")[0]
    assert 0 == program.stop()
