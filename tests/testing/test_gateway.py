from __future__ import annotations

import aiohttp
import pytest

from llmgw.errors import ConfigError
from llmgw.gateway import Gateway
from llmgw.stages import Endpoint
from llmgw_testing import FakeClock, run_gateway
from tests.toys import TOY, Player, Toybox, plugin, reply, serving


async def test_it_serves_while_the_context_lasts(toybox: Toybox) -> None:
    """On a free port of this machine, and nowhere afterwards."""
    async with run_gateway(toybox.deployment(serving(Player()))) as running:
        assert running.url.startswith("http://127.0.0.1:")
        assert (200, {"said": "Hello"}) == await running.post({"model": "m"}, "/toy")
        assert 200 == (await running.get("/health"))[0]

    async with aiohttp.ClientSession() as http:
        with pytest.raises(aiohttp.ClientConnectorError):
            await http.get(running.url)


async def test_without_anything_it_is_the_default_set() -> None:
    """As ``llmgw serve`` without a file, in an empty environment."""
    async with run_gateway() as running:
        assert ["echo"] == list(running.gateway.backends)
        assert {} == running.gateway.env


async def test_two_run_side_by_side() -> None:
    """Each on its own port."""
    async with run_gateway() as one, run_gateway() as other:
        assert one.url != other.url


async def test_a_wrong_configuration_is_raised() -> None:
    """As it would be told at the start."""
    with pytest.raises(ConfigError, match="no plugin 'nothing' is installed"):
        async with run_gateway({"filters": ["nothing"]}):
            pytest.fail("it serves")


async def test_its_clock_is_the_tests(toybox: Toybox) -> None:
    """All its time comes from there."""
    clock = FakeClock(now=7.0)
    async with run_gateway(toybox.deployment(), clock=clock.clock) as running:
        assert 7.0 == running.gateway.clock.monotonic()


async def test_headers_and_bodies(toybox: Toybox) -> None:
    """Bytes go as they are, all else as JSON; what comes back is JSON or text."""
    async with run_gateway(toybox.deployment(serving(Player.of(reply("Hello"))))) as running:
        assert (200, {"said": "Hello"}) == await running.post(b'{"model": "m"}', "/toy", x_odd="1")
        assert (200, 'data: {"say":"Hello"}\n\ndata: {"end":"end"}\n\n') == await running.post(
            {"model": "m", "stream": True}, "/toy"
        )


async def test_the_fixture_makes_as_many_as_asked_for(gateway) -> None:  # type: ignore[no-untyped-def]  # a fixture
    """They run until the test ends."""
    one, other = await gateway(), await gateway({"backends": {"echo": {}}})

    assert [200, 200] == [(await each.get("/health"))[0] for each in (one, other)]


async def test_a_front_end_with_a_port_of_its_own(toybox: Toybox) -> None:
    """It is served at a free one, whichever it asks for."""

    def frontend_endpoints(gateway: Gateway) -> list[Endpoint]:
        return [Endpoint("POST", "/toy", TOY, port=port) for port in (None, 80)]

    async with run_gateway(toybox.deployment(plugin(frontend_endpoints=frontend_endpoints))) as running:
        assert [80] == list(running.doors)
        assert running.doors[80] not in (running.url, "http://127.0.0.1:80")
        async with running.http.post(running.doors[80] + "/toy", json={"model": "m"}) as response:
            assert {"said": "Hello"} == await response.json()
