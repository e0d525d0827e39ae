from __future__ import annotations

import hmac
import logging
from typing import Any

import pytest

from llmgw import Exchange, Filter, Limits, Principal, Request, resolve
from llmgw_testing import run_gateway
from tests.toys import Player, Toybox, default_set, plugin, routing, serving

NAME, KEY = "LLM_INTERACTIVE_PROXY_API_KEY", "gw-key-äö"
ASCII = "gw-key-1"
ENV = {NAME: ASCII, "ALICE_KEY": "key-of-alice", "BOB_KEY": "key-of-bob"}


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
    """With every key, also behind one that is right, so that the time tells nothing."""
    keys = {"alice": {"key": "env:ALICE_KEY"}, "bob": {"key": "env:BOB_KEY"}}
    async with run_gateway(deployment(toybox) | {"auth": {"keys": keys}}, ENV) as running:
        compared.clear()  # the keys were compared with one another
        await running.post({"model": "m"}, "/toy?key=d", authorization="Bearer key-of-alice", x_api_key="b", x_goog_api_key="c")

    expected = (b"key-of-alice", b"key-of-bob", ASCII.encode())
    assert [(one, key) for one in (b"key-of-alice", b"b", b"c", b"d") for key in expected] == compared


@pytest.mark.parametrize("env", [{}, {NAME: ""}])
def test_without_a_key_it_sits_out(toybox: Toybox, env: dict[str, str]) -> None:
    """There is nothing to ask for, and the gateway says so."""
    toybox.config(serving(Player()))
    gateway = toybox.gateway(serving(Player()), env=env, plugins=["auth-key"])

    assert not gateway.authenticates
    assert [f"{NAME} is not set"] == [why for item, why in gateway.idle if item.name == "auth-key"]


async def test_the_key_goes_no_further(toybox: Toybox, caplog: pytest.LogCaptureFixture) -> None:
    """Neither to the back-end nor into the log."""
    player = Player()
    caplog.set_level(logging.DEBUG)
    async with run_gateway(deployment(toybox, player), {NAME: ASCII}) as running:
        await running.post({"model": "m"}, "/toy", x_api_key=ASCII)

    [(_, asked)] = player.asked
    assert {} == asked.headers
    assert ASCII not in caplog.text


# ---- keys of clients ----------------------------------------------------------------------------


def who(principals: list[Principal | None]) -> type:
    """A plugin that notes who is calling."""

    def open_filter(exchange: Exchange) -> Filter | None:
        principals.append(exchange.principal)
        return None

    return plugin(open_filter=open_filter)


def clients(toybox: Toybox, keys: Any, *classes: type) -> dict[str, Any]:
    """A gateway with keys of clients."""
    defaults = dict.fromkeys(default_set(), False)
    return toybox.deployment(*(classes or (serving(Player()),)), plugins=["auth-key"], auth={"keys": keys}, defaults=defaults)


@pytest.mark.parametrize("env", [ENV, {name: key for name, key in ENV.items() if name != NAME}])
async def test_each_client_is_known_by_its_key(toybox: Toybox, env: dict[str, str]) -> None:
    """With what it may reach and how much it may ask for; beside the single key, or where there is none."""
    alice = {"models": ["toy:*"], "routes": ["fast"], "limits": {"requests": 60, "tokens": 200000, "concurrent": 4}}
    keys = {"alice": {"key": "env:ALICE_KEY", **alice}, "bob": {"key": "env:BOB_KEY"}}
    found: list[Principal | None] = []
    async with run_gateway(clients(toybox, keys, serving(Player()), who(found)), env) as running:
        statuses = [
            (await running.post({"model": "m"}, "/toy", x_api_key=key))[0]
            for key in ("key-of-alice", "key-of-bob", "key-of-carol", ASCII)
        ]

    known = [Principal("alice", ("toy:*",), ("fast",), Limits(60, 200000, 4)), Principal("bob")]
    single = NAME in env
    assert [200, 200, 401, 200 if single else 401] == statuses
    assert [*known, *([Principal("key")] if single else [])] == found


async def test_who_shows_a_wrong_key_is_told_nothing_of_others(toybox: Toybox) -> None:
    """No client's name, no variable, no key."""
    async with run_gateway(clients(toybox, {"alice": {"key": "env:ALICE_KEY"}}), ENV) as running:
        _, body = await running.post({"model": "m"}, "/toy", x_api_key="other")

    assert "The key is none of this gateway's. Use the one that whoever runs it gave you." == body["error"]


async def test_a_named_key_goes_before_the_single_one(toybox: Toybox) -> None:
    """Where both are the same, what stands under the name holds."""
    found: list[Principal | None] = []
    keys = {"alice": {"key": "env:ALICE_KEY", "models": ["toy:*"]}}
    async with run_gateway(clients(toybox, keys, serving(Player()), who(found)), ENV | {NAME: "key-of-alice"}) as running:
        await running.post({"model": "m"}, "/toy", x_api_key="key-of-alice")

    assert ["alice"] == [one.name for one in found if one is not None]


async def test_a_client_reaches_what_its_key_allows(toybox: Toybox) -> None:
    """By the target's name, however it was asked for; nothing else is asked of a provider, and lists hold nothing else."""
    player, other = Player(listed=["a-1", "b-1"]), Player(name="other", listed=["a-1"])
    keys = {"alice": {"key": "env:ALICE_KEY", "models": ["toy:a-*"]}}
    config = clients(toybox, keys, serving(player, other)) | {"default_backend": "toy"}
    async with run_gateway(config, ENV) as running:
        asked = ("toy:a-1", "a-2", "toy:b-1", "b-1", "other:a-1")
        answers = [await running.post({"model": model}, "/toy", x_api_key="key-of-alice") for model in asked]
        own = await running.get("/toy/models", x_api_key="key-of-alice")
        every = await running.get("/toy/models", x_api_key=ASCII)

    assert [200, 200, 403, 403, 403] == [status for status, _ in answers]
    assert {"permission"} == {body["kind"] for status, body in answers if status == 403}
    assert (["a-1", "a-2"], []) == ([target.model for target, _ in player.asked], other.asked)
    assert ({"models": ["toy:a-1"]}, 3) == (own[1], len(every[1]["models"]))


async def test_a_client_may_ask_for_a_name_of_the_deployment(toybox: Toybox) -> None:
    """Whatever stands behind it, which it may not ask for itself; and not for what it makes of such a name."""

    def alias(exchange: Exchange, request: Request) -> Any:
        return resolve(exchange, request.with_model("toy:m")) if request.model.startswith("fast") else None

    keys = {"alice": {"key": "env:ALICE_KEY", "routes": ["fast*"]}}
    async with run_gateway(clients(toybox, keys, serving(Player()), routing(alias)), ENV) as running:
        asked = ("fast", "toy:m", "fast|toy:m")
        statuses = [(await running.post({"model": model}, "/toy", x_api_key="key-of-alice"))[0] for model in asked]

    assert [200, 403, 403] == statuses


async def test_keys_of_clients_show_nowhere(toybox: Toybox, caplog: pytest.LogCaptureFixture) -> None:
    """Neither in the log nor in what the gateway tells of itself."""
    caplog.set_level(logging.DEBUG)
    async with run_gateway(clients(toybox, {"alice": {"key": "env:ALICE_KEY"}}), ENV) as running:
        await running.post({"model": "m"}, "/toy", x_api_key="key-of-alice")
        shown = repr([running.gateway.config, *(one for _, one in running.gateway.plugins)])

    assert "key-of-alice" not in caplog.text + shown
