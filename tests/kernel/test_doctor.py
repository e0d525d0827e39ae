from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web
from attrs import define

from llmgw import cli
from llmgw.config import load
from llmgw.doctor import Finding, examined, printed
from llmgw.errors import ConfigError
from llmgw.gateway import Gateway
from llmgw.stages import Backend, CredentialState
from tests.backends.fakes.server import Came, FakeVendor, Refused
from tests.toys import Player, Toybox, serving

ANSWER = {
    "id": "c", "object": "chat.completion", "created": 1, "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello."}, "finish_reason": "stop"}],
}  # fmt: skip


@define(eq=False)
class Vendor(FakeVendor):
    """Speaks Chat Completions to whoever has the key ``good``."""

    async def answer(self, came: Came, request: web.Request) -> web.StreamResponse:
        if came.path == "/":
            return web.Response(status=404)
        if came.headers.get("authorization") != "Bearer good":
            raise Refused(401, {"error": {"message": "Incorrect API key", "type": "x", "code": "invalid_api_key", "param": None}})
        if came.path == "/v1/models":
            return web.json_response({"object": "list", "data": [{"id": "m", "object": "model"}, {"id": "n", "object": "model"}]})
        return web.json_response(ANSWER)


@pytest.fixture
async def vendor() -> AsyncIterator[Vendor]:
    async with Vendor().running() as fake:
        yield fake


def gateway(folder: Path, env: dict[str, str], **backends: Any) -> Gateway:
    file = folder / "llmgw.yaml"
    file.write_text(yaml.safe_dump({"backends": backends}))
    return Gateway.build(load(file, env))


def compatible(url: str) -> dict[str, Any]:
    return {"type": "openai-compatible", "base_url": f"{url}/v1", "api_key": "env:MINE"}


async def found(one: Gateway, *names: str, live: bool = False) -> list[Finding]:
    return [finding async for finding in examined(one, names, live=live)]


async def test_all_is_well(vendor: Vendor, tmp_path: Path) -> None:
    """The credential's place, and how many models there are; nothing is to be done, and nothing was asked that costs."""
    [mine] = await found(gateway(tmp_path, {"MINE": "good"}, mine=compatible(vendor.url)), "mine")
    said = dict(mine.lines)
    assert ("key from MINE", []) == (said["credential"], mine.problems)
    assert said["reachable"].startswith("yes, 2 models in ")
    assert ["/", "/v1/models"] == [came.path for came in vendor.came]


async def test_who_is_asked_whether_it_is_there_sees_no_key(vendor: Vendor, tmp_path: Path) -> None:
    """The first knock is without the credential."""
    await found(gateway(tmp_path, {"MINE": "good"}, mine=compatible(vendor.url)), "mine")
    assert "authorization" not in vendor.came[0].headers


async def test_live(vendor: Vendor, tmp_path: Path) -> None:
    """One minimal request to the first model there is; what it says is told."""
    [mine] = await found(gateway(tmp_path, {"MINE": "good"}, mine=compatible(vendor.url)), "mine", live=True)
    assert "yes, m says 'Hello.' in " in dict(mine.lines)["live"]
    [asked] = vendor.asked("/chat/completions")
    assert "m" == asked.json["model"] and len(asked.body) < 200


async def test_a_key_that_is_not_taken(vendor: Vendor, tmp_path: Path) -> None:
    """The vendor's own words; then no live request is sent."""
    [mine] = await found(gateway(tmp_path, {"MINE": "bad"}, mine=compatible(vendor.url)), "mine", live=True)
    said = dict(mine.lines)
    assert said["reachable"].startswith("no: ") and "Incorrect API key" in said["reachable"] and "live" not in said
    assert 1 == len(mine.problems)


async def test_a_live_request_that_is_refused(vendor: Vendor, tmp_path: Path) -> None:
    """Its class of failure is in the vendor's words."""
    vendor.fails("/chat/completions", 402, {"error": {"message": "Insufficient balance", "type": "billing_error"}})
    [mine] = await found(gateway(tmp_path, {"MINE": "good"}, mine=compatible(vendor.url)), "mine", live=True)
    assert "no: m: " in dict(mine.lines)["live"] and "Insufficient balance" in mine.problems[0]


async def test_nobody_is_there(tmp_path: Path, unused_tcp_port: int) -> None:
    """What cannot be reached is told with what to check."""
    mine = compatible(f"http://127.0.0.1:{unused_tcp_port}")
    [finding] = await found(gateway(tmp_path, {"MINE": "good"}, mine=mine), "mine")
    assert "base_url right" in finding.problems[0]


async def test_a_key_that_is_missing(tmp_path: Path, unused_tcp_port: int) -> None:
    """The variable is named, and what to do."""
    openai = {"base_url": "https://api.openai.com/v1"}
    one = gateway(tmp_path, {}, openai=openai).backends["openai"]
    assert "Export OPENAI_API_KEY" in one.credentials[0].problem


class Waning(Player):
    """A back-end whose login ends."""

    credentials = (CredentialState("file", "login from ~/.acme", problem="Run: acme login", expires_at=1_800_000_000.0),)
    notices = ("the vendor allows it to you alone",)


async def test_logins_and_notices(toybox: Toybox) -> None:
    """When it ends, what to do, and what the vendor's terms say."""
    [one] = await found(toybox.gateway(serving(Waning(name="acme"))), "acme")
    said = dict(one.lines)
    assert ("login from ~/.acme, until 2027-01-15 08:00 UTC", "the vendor allows it to you alone") == (
        said["credential"], said["notice"],
    )  # fmt: skip
    assert ["Run: acme login"] == one.problems
    assert "  to do       Run: acme login" in printed(one).splitlines()


async def test_a_name_that_is_none(toybox: Toybox) -> None:
    """The nearest is offered."""
    with pytest.raises(ConfigError, match="did you mean 'acme'"):
        await found(toybox.gateway(serving(Player(name="acme"))), "acne")


async def test_all_of_them_in_their_order(toybox: Toybox) -> None:
    """Without a name each is examined."""
    backends: list[Backend] = [Player(name="b"), Player(name="a")]
    assert ["b", "a"] == [one.name for one in await found(toybox.gateway(serving(*backends)))]


@pytest.mark.parametrize(("kind", "code"), [(Player, 0), (Waning, 1)])
def test_the_verb(toybox: Toybox, capsys: pytest.CaptureFixture[str], kind: type[Player], code: int) -> None:
    """It ends with 1 where something is to be done."""
    toybox.config(serving(kind(name="acme")))
    assert code == cli.main(["doctor", "acme", "--config", str(toybox.folder / "llmgw.yaml")])
    assert capsys.readouterr().out.startswith("acme\n  credential  ")
