from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from attrs import define, field

from llmgw_logins import GrantRefused, granted
from llmgw_testing import Break, Hang, Provider, raw
from tests.backends.fakes.server import Came, FakeVendor


@define(eq=False)
class Server(FakeVendor):
    """Answers as it is told."""

    body: Any = field(factory=lambda: {"access_token": "a"})

    async def answer(self, came: Came, request: web.Request) -> web.StreamResponse:
        return web.json_response(self.body)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with Server().running() as fake:
        yield fake


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def failed(http: aiohttp.ClientSession, url: str) -> GrantRefused:
    with pytest.raises(GrantRefused) as raised:
        await granted(http, url, form={"refresh_token": "SECRET"})
    assert "SECRET" not in str(raised.value)
    return raised.value


async def test_a_form(server: Server, http: aiohttp.ClientSession) -> None:
    """As RFC 6749 has it."""
    assert {"access_token": "a"} == await granted(http, server.url, form={"a": "b c"})
    assert ("application/x-www-form-urlencoded", b"a=b+c") == (server.came[0].headers["content-type"], server.came[0].body)


async def test_json(server: Server, http: aiohttp.ClientSession) -> None:
    """As some vendors have it."""
    await granted(http, server.url, json={"a": "b"}, headers={"x-beta": "1"})
    [came] = server.came
    assert ("application/json", {"a": "b"}, "1") == (came.headers["content-type"], came.json, came.headers["x-beta"])


@pytest.mark.parametrize(
    ("status", "body", "code", "permanent"),
    [
        (400, {"error": "invalid_grant"}, "invalid_grant", True),
        (400, {"error": {"code": "refresh_token_reused"}}, "refresh_token_reused", True),
        (400, {"code": "refresh_token_expired"}, "refresh_token_expired", True),
        (401, {}, "", True),
        (401, "<html>", "", True),
        (429, {"error": "slow_down"}, "slow_down", False),
        (500, {"error": {"message": "oops"}}, "", False),
        (503, "<html>", "", False),
        (302, {}, "", False),
        (400, {"error": 7}, "", False),
    ],
)
async def test_refusals(server: Server, http: aiohttp.ClientSession, status: int, body: Any, code: str, permanent: bool) -> None:
    """The vendor's word in any of three places; what is for good, and what may pass."""
    server.fails("/", status, body, {"location": "http://elsewhere"} if status == 302 else None)
    error = await failed(http, server.url)
    assert (code, permanent) == (error.code, error.permanent) and str(status) in str(error)


@pytest.mark.parametrize("body", [{}, {"access_token": ""}, {"access_token": 1}, [], "a"])
async def test_an_answer_that_has_no_token(server: Server, http: aiohttp.ClientSession, body: Any) -> None:
    """It is no grant, though its status says so."""
    server.body = body
    assert not (await failed(http, server.url)).permanent


async def test_nobody_is_there(http: aiohttp.ClientSession, unused_tcp_port: int) -> None:
    """It may pass."""
    error = await failed(http, f"http://127.0.0.1:{unused_tcp_port}")
    assert not error.permanent and "cannot be reached" in str(error)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("refresh_token_reused", "400: refresh_token_reused"),
        ("AADSTS70008", "400: AADSTS70008"),
        ("x" * 65, "400"),
        ("SECRET", "400"),
        ("bad token SECRET", "400"),
        ("SECRET_was_used", "400"),
        ("line\nbreak", "400"),
        ("ünknown", "400"),
    ],
)
async def test_a_word_is_told_and_nothing_else(server: Server, http: aiohttp.ClientSession, said: str, told: str) -> None:
    """What was sent does not come back in a message, and what is no word is no code."""
    server.fails("/", 400, {"error": said})
    error = await failed(http, server.url)
    assert f"the token server answered {told}" == str(error)


async def test_a_redirect_is_not_followed(server: Server, http: aiohttp.ClientSession) -> None:
    """It would carry the refresh token to wherever it points."""
    server.fails("/", 307, {}, {"location": f"{server.url}/elsewhere"})
    assert not (await failed(http, server.url)).permanent
    assert 1 == len(server.came)


async def test_a_server_that_is_too_slow(provider: Provider, http: aiohttp.ClientSession) -> None:
    """It may pass."""
    provider.answers(raw(Hang()))
    with pytest.raises(GrantRefused, match=r"cannot be reached \(TimeoutError\)") as raised:
        await granted(http, provider.base_url, form={"refresh_token": "SECRET"}, patience=0.05)
    assert not raised.value.permanent


async def test_a_server_that_hangs_up(provider: Provider, http: aiohttp.ClientSession) -> None:
    """In the middle of its answer: that is no grant."""
    provider.answers(raw(b'HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{"access_token": "a"', Break()))
    assert not (await failed(http, provider.base_url)).permanent


async def test_of_an_endless_answer_enough_is_read(server: Server, http: aiohttp.ClientSession) -> None:
    """A megabyte, which is then no answer."""
    server.body = {"access_token": "a", "filler": "x" * 2**21}
    assert "the token server answered 200" == str(await failed(http, server.url))


async def test_unknown_fields_of_an_answer_come_back(server: Server, http: aiohttp.ClientSession) -> None:
    """A vendor may want them."""
    server.body = {"access_token": "a", "resource_url": "portal.acme.example", "n": [1]}
    assert server.body == await granted(http, server.url, form={})
