from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from llmgw.cli import main
from llmgw.gateway import Gateway
from llmgw.stages import Report
from llmgw.status import printed
from llmgw_testing import RunningGateway, run_gateway
from tests.toys import Player, Toybox, plugin, reply, serving

KEYS = Report("keys", ({"key": "A_KEY", "state": "usable", "until": None}, {"key": "ANOTHER", "state": "rests", "until": 12.5}))


def telling(*reports: Report) -> Any:
    """Plugins that report."""

    def teller(report: Report) -> Any:
        async def told() -> Report:
            return report

        def status(gateway: Gateway) -> Awaitable[Report] | None:
            return told()

        return plugin(status=status)

    return [teller(report) for report in reports]


@asynccontextmanager
async def running(toybox: Toybox, *reports: Report) -> AsyncIterator[RunningGateway]:
    deployment = toybox.deployment(*telling(*reports), serving(Player.of(reply("Hello"))))
    async with run_gateway(deployment) as one:
        yield one


async def test_verbose_health_has_the_reports(toybox: Toybox) -> None:
    """What plugins tell stands beside what everybody may know."""
    async with running(toybox, KEYS) as gateway:
        status, told = await gateway.get("/health?verbose")
        _, plain = await gateway.get("/health")

    assert (200, "ok", 0) == (status, told["status"], told["exchanges"])
    assert [dict(row) for row in KEYS.rows] == told["keys"]
    assert plain.keys() == {"status", "version"}


async def test_verbose_health_is_for_those_who_may_come_in() -> None:
    """Where a key is asked for, it is asked for here; the plain health is open."""
    async with run_gateway({"backends": {"echo": {}}}, {"LLM_INTERACTIVE_PROXY_API_KEY": "our-key"}) as gateway:
        refused, _ = await gateway.get("/health?verbose")
        let_in, _ = await gateway.get("/health?verbose", authorization="Bearer our-key")
        plain, _ = await gateway.get("/health")

    assert (401, 200, 200) == (refused, let_in, plain)


async def test_the_verb_prints_them(toybox: Toybox, capsys: pytest.CaptureFixture[str]) -> None:
    """``llmgw status`` is a line and a table for each report."""
    async with running(toybox, KEYS, Report("breakers")) as gateway:
        code = await asyncio.to_thread(main, ["status", "--url", gateway.url])
    out = capsys.readouterr().out.splitlines()

    assert 0 == code
    assert out[0].startswith("status ok, version ")
    assert ["keys:", "  key      state   until", "  A_KEY    usable", "  ANOTHER  rests   12.5"] == out[2:6]
    assert "breakers: nothing to tell" == out[7]


async def test_as_json(toybox: Toybox, capsys: pytest.CaptureFixture[str]) -> None:
    """For programs, as the gateway tells it."""
    async with running(toybox, KEYS) as gateway:
        await asyncio.to_thread(main, ["status", "--url", gateway.url, "--json"])

    assert '"keys":[{"key":"A_KEY"' in capsys.readouterr().out


async def test_it_shows_the_key(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The key stands in a variable, whose name may be given; without it the refusal says what to do."""
    monkeypatch.setenv("MY_STATUS_KEY", "our-key")
    async with run_gateway({"backends": {"echo": {}}}, {"LLM_INTERACTIVE_PROXY_API_KEY": "our-key"}) as gateway:
        good = await asyncio.to_thread(main, ["status", "--url", gateway.url, "--key-env", "MY_STATUS_KEY"])
        bad = await asyncio.to_thread(main, ["status", "--url", gateway.url, "--key-env", "NOT_SET_AT_ALL"])

    assert (0, 2) == (good, bad)
    assert "--key-env NAME" in capsys.readouterr().err


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "ftp://127.0.0.1"])
def test_nobody_there(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What cannot be asked is told with its place."""
    assert 2 == main(["status", "--url", url])
    assert "@ --url" in capsys.readouterr().err


def test_a_gateway_that_cannot_serve() -> None:
    """Why it cannot stands in the first line."""
    assert ["status unavailable, why stopping"] == list(printed({"status": "unavailable", "why": "stopping"}))
