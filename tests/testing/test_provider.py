from __future__ import annotations

import asyncio

import aiohttp
import pytest

from llmgw_testing import Break, Hang, Provider, Wait, raw, stream, whole
from tests.toys import until


async def post(provider: Provider, **more: object) -> tuple[int, bytes]:
    """Status and body of an answer."""
    async with aiohttp.ClientSession() as http, http.post(provider.base_url + "/say", json={"a": 1}, **more) as response:  # type: ignore[arg-type]
        return response.status, await response.read()


async def test_it_gives_its_answers_in_order(provider: Provider) -> None:
    """The last one again and again, until it is given others."""
    provider.answers(whole({"n": 1}), whole(b"two", 500))
    assert [(200, b'{"n": 1}'), (500, b"two"), (500, b"two")] == [await post(provider) for _ in range(3)]

    provider.answers(whole(b"new"))
    assert (200, b"new") == await post(provider)


async def test_it_keeps_what_it_was_asked(provider: Provider) -> None:
    """Method, path, headers and body, sent whole or in chunks."""
    provider.answers(whole({}))
    await post(provider, headers={"X-Odd": "Yes"})
    async with aiohttp.ClientSession() as http, http.post(provider.base_url, data=_pieces()):
        pass

    first, second = provider.seen
    assert ("POST", "/v1/say", "Yes", {"a": 1}) == (first.method, first.path, first.headers["x-odd"], first.json)
    assert b"ab" == second.body
    assert provider.asked.is_set()


async def _pieces():  # type: ignore[no-untyped-def]  # what aiohttp takes
    yield b"a"
    yield b"b"


async def test_a_stream(provider: Provider) -> None:
    """Dicts and texts become frames, bytes go as they are."""
    provider.answers(stream({"a": 1}, "[DONE]", b": x\n\n", status=201, x_id="7"))
    async with aiohttp.ClientSession() as http, http.get(provider.base_url) as response:
        got = response.status, response.content_type, response.headers["x-id"], await response.read()

    assert (201, "text/event-stream", "7", b'data: {"a": 1}\n\ndata: [DONE]\n\n: x\n\n') == got


async def test_it_waits_until_it_is_told(provider: Provider) -> None:
    """What stands before the wait has arrived by then."""
    go = asyncio.Event()
    provider.answers(stream(b"a", Wait(go), b"b"))
    async with aiohttp.ClientSession() as http, http.get(provider.base_url) as response:
        assert b"a" == await response.content.readany()
        go.set()
        assert b"b" == await response.read()


@pytest.mark.parametrize(
    "answer", [stream(b"a", Break()), whole(b"a"), raw(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\na", Break())]
)
async def test_it_breaks_off(provider: Provider, answer: object) -> None:
    """The body is then not whole; one that comes to its end is."""
    broken = Break() in answer.steps  # type: ignore[attr-defined]
    provider.answers(answer)  # type: ignore[arg-type]
    if broken:
        with pytest.raises(aiohttp.ClientPayloadError):
            await post(provider)
    else:
        assert (200, b"a") == await post(provider)


async def test_it_hears_that_the_other_side_left(provider: Provider) -> None:
    """While it waits or hangs."""
    provider.answers(stream(b"a", Hang()))
    async with aiohttp.ClientSession() as http, http.get(provider.base_url) as response:
        await response.content.readany()
        assert not provider.left.is_set()
        response.close()
    async with asyncio.timeout(5):
        await provider.left.wait()


async def test_it_keeps_connections(provider: Provider) -> None:
    """As providers do, and counts them."""
    provider.answers(whole({}))
    async with aiohttp.ClientSession() as http:
        for _ in range(3):
            async with http.get(provider.base_url) as response:
                await response.read()

    assert (3, 1) == (len(provider.seen), provider.connections)


async def test_when_it_ends_nothing_is_left() -> None:
    """Also connections that hang."""
    async with Provider.start() as provider, aiohttp.ClientSession() as http:
        provider.answers(stream(b"a", Hang()))
        async with http.get(provider.base_url) as response:
            await response.content.readany()
    await until(lambda: not provider._open)
