from __future__ import annotations

import hmac
import logging
from typing import Any

import pytest

from llmgw_testing import run_gateway
from tests.toys import Player, Toybox, serving

NAME, KEY = "LLM_INTERACTIVE_PROXY_API_KEY", "gw-key-äö"
ASCII = "gw-key-1"


def deployment(toybox: Toybox, player: Player | None = None, **options: Any) -> dict[str, Any]:
    """A gateway that asks for its key."""
    return toybox.deployment(serving(player or Player()), plugins=[{"auth-key": options}])


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/toy", {"authorization": f"Bearer {ASCII}"}),
        ("/toy", {"authorization": f"bearer {ASCII}"}),
        ("/toy", {"Authorization": f"BEARER  {ASCII} "}),
        ("/toy", {"x_api_key": ASCII}),
        ("/toy", {"x_goog_api_key": ASCII}),
        (f"/toy?key={ASCII}", {}),
        ("/toy", {"authorization": "Bearer other", "x_api_key": ASCII}),
    ],
)
async def test_wherever_a_client_puts_it(toybox: Toybox, path: str, headers: dict[str, str]) -> None:
    """The key opens the gateway, in whichever of the places."""
    async with run_gateway(deployment(toybox), {NAME: ASCII}) as running:
        assert 200 == (await running.post({"model": "m"}, path, **headers))[0]


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": "Bearer "},
        {"authorization": "Bearer"},
        {"authorization": f"Basic {ASCII}"},
        {"authorization": ASCII},
        {"authorization": f"Bearer {ASCII}x"},
        {"authorization": f"Bearer {ASCII[:-1]}"},
        {"x_api_key": ASCII.upper()},
        {"x_goog_api_key": f"Bearer {ASCII}"},
        {"cookie": f"key={ASCII}"},
        {},
    ],
)
async def test_everybody_else_is_refused(toybox: Toybox, headers: dict[str, str]) -> None:
    """With advice, and without a back-end hearing of it."""
    player = Player()
    async with run_gateway(deployment(toybox, player), {NAME: ASCII}) as running:
        status, body = await running.post({"model": "m"}, "/toy", **headers)

    assert (401, "authentication", []) == (status, body["kind"], player.asked)
    assert ASCII not in body["error"]


async def test_the_advice_names_the_variable(toybox: Toybox) -> None:
    """The one that this deployment takes the key from."""
    async with run_gateway(deployment(toybox, key="env:MY_KEY"), {"MY_KEY": ASCII}) as running:
        _, wrong = await running.post({"model": "m"}, "/toy", x_api_key="other")
        _, none = await running.post({"model": "m"}, "/toy")

    assert "Use the value of MY_KEY that it was started with." in wrong["error"]
    assert "Authorization: Bearer KEY" in none["error"]


@pytest.mark.parametrize("key", [KEY, "\udcff\udcfe"])
async def test_a_key_beyond_ascii(toybox: Toybox, key: str) -> None:
    """Whatever stands in the environment is compared as bytes, and refuses without failing."""
    async with run_gateway(deployment(toybox), {NAME: key}) as running:
        assert 401 == (await running.post({"model": "m"}, "/toy", x_api_key="other"))[0]
        if key == KEY:
            assert 200 == (await running.post({"model": "m"}, "/toy", x_api_key=key))[0]


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> list[tuple[bytes, bytes]]:
    """What was compared in constant time."""
    seen: list[tuple[bytes, bytes]] = []
    compare = hmac.compare_digest

    def noting(a: Any, b: Any) -> bool:
        seen.append((a, b))
        return compare(a, b)

    monkeypatch.setattr("llmgw_auth_key.hmac.compare_digest", noting)
    return seen


async def test_every_candidate_is_compared_in_constant_time(toybox: Toybox, compared: list[tuple[bytes, bytes]]) -> None:
    """Also behind one that is right, so that the time tells nothing."""
    async with run_gateway(deployment(toybox), {NAME: ASCII}) as running:
        await running.post({"model": "m"}, "/toy?key=d", authorization=f"Bearer {ASCII}", x_api_key="b", x_goog_api_key="c")

    assert [(one, ASCII.encode()) for one in (ASCII.encode(), b"b", b"c", b"d")] == compared


@pytest.mark.parametrize("env", [{}, {NAME: ""}])
def test_without_a_key_it_sits_out(toybox: Toybox, env: dict[str, str]) -> None:
    """There is nothing to ask for, and the gateway says so."""
    toybox.config(serving(Player()))
    gateway = toybox.gateway(serving(Player()), env=env, plugins=["auth-key"])

    assert not gateway.authenticates
    assert [f"{NAME} is not set"] == [why for _, why in gateway.idle]


async def test_the_key_goes_no_further(toybox: Toybox, caplog: pytest.LogCaptureFixture) -> None:
    """Neither to the back-end nor into the log."""
    player = Player()
    caplog.set_level(logging.DEBUG)
    async with run_gateway(deployment(toybox, player), {NAME: ASCII}) as running:
        await running.post({"model": "m"}, "/toy", x_api_key=ASCII)

    [(_, asked)] = player.asked
    assert {} == asked.headers
    assert ASCII not in caplog.text
