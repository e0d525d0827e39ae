"""Whatever a provider does: the client hears of it in OpenAI's own words, and a failure never looks like success.

That the gateway still serves, and that no traceback was logged, is checked after every test (``conftest.py``).
"""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from itertools import islice
from typing import Any

import pytest
import pytest_asyncio

from llmgw_testing import Answer, Break, FakeClock, Hang, Provider, RunningGateway, Wait, every_cut, raw, stream, whole
from tests.bad_input.place import ENV, KEY, Place, Said, config
from tests.shared import ROLE, answer, chunk, chunks, error_in, frames, question, streamed_text, text_of, until

GatewayMaker = Callable[..., Awaitable[RunningGateway]]
PlaceMaker = Callable[..., Awaitable[Place]]

WHOLE, STREAM = question(), question(stream=True)
DONE = "[DONE]"
REFUSAL = {"error": {"message": "You ask too much.", "type": "requests", "param": None, "code": "rate_limit_exceeded"}}
PAGE = b"<!DOCTYPE html><html><head><title>502 Bad Gateway</title></head><body><h1>cloud</h1></body></html>"

both = pytest.mark.parametrize("body", [pytest.param(WHOLE, id="whole"), pytest.param(STREAM, id="stream")])


def whole_in(*steps: Any) -> Answer:
    """A whole answer in steps."""
    return Answer(steps, headers={"content-type": "application/json"})


def failed(said: Said, status: int) -> dict[str, Any]:
    """The error of a response that is one."""
    assert (status, "application/json") == (said.status, said.headers["content-type"]), said.text
    assert KEY not in said.text
    return error_in(said.json)


def broken_off(said: Said) -> dict[str, Any]:
    """The error that ends a stream which began well."""
    assert 200 == said.status
    assert said.headers["content-type"].startswith("text/event-stream")
    told = frames(said.text)
    assert DONE not in told
    assert said.text.endswith("\n\n")
    return error_in(told[-1])


# ---- breaking off -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(raw(Break()), id="nothing"),
        pytest.param(raw(b"HTTP/1.1 200 OK\r\ncontent-ty", Break()), id="in the head"),
        pytest.param(stream(Break()), id="behind the head"),
        pytest.param(stream(b": ping\n\n", Break()), id="behind a comment"),
        pytest.param(stream(ROLE, Break()), id="behind the role"),
        pytest.param(stream(ROLE, b'data: {"id":"c1","choices":[{"index":0,"del', Break()), id="in the second frame"),
        pytest.param(stream(), id="an empty stream"),
        pytest.param(stream(DONE), id="only the end"),
    ],
)
async def test_stream_comes_to_nothing(place: Place, said: Answer) -> None:
    """A stream that ends before anything meaningful came is an error under its HTTP status, 502."""
    place.provider.answers(said)

    error = failed(await place.ask(STREAM), 502)

    assert "upstream_error" == error["code"]


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(raw(Break()), id="nothing"),
        pytest.param(raw(b"HTTP/1.1 200 OK\r\ncontent-ty", Break()), id="in the head"),
        pytest.param(
            raw(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 90\r\n\r\n", Break()), id="no body"
        ),
        pytest.param(
            Answer((json.dumps(answer()).encode()[:-30], Break()), headers={"content-type": "application/json"}), id="cut"
        ),
        pytest.param(whole(b""), id="empty"),
        pytest.param(whole(b"", 204), id="no content"),
        pytest.param(whole({}), id="empty object"),
        pytest.param(whole([]), id="list"),
        pytest.param(whole({"choices": None}), id="choices null"),
        pytest.param(whole(b"OK", content_type="text/plain"), id="text"),
        pytest.param(whole(b"\xff\xfe\x00garbage\xc3\x28" * 50), id="garbage"),
    ],
)
async def test_whole_reply_comes_to_nothing(place: Place, said: Answer) -> None:
    """A whole reply that is cut, or is none, is an error under its HTTP status, 502."""
    place.provider.answers(said)

    error = failed(await place.ask(WHOLE), 502)

    assert "upstream_error" == error["code"]


async def test_reply_that_says_nothing(place: Place) -> None:
    """A stream that has a role, no words, and the end that it promises, is a reply, and passes as it came."""
    place.provider.answers(stream(ROLE, DONE))

    said = await place.ask(STREAM)

    assert (200, [ROLE, DONE]) == (said.status, frames(said.text))


@pytest.mark.parametrize(
    "tail",
    [
        pytest.param((Break(),), id="between frames"),
        pytest.param((b'data: {"id":"c1","choices":[{"index":0,"delta":{"con', Break()), id="in a frame"),
        pytest.param((b"data: ", Break()), id="before the JSON"),
        pytest.param((), id="in good order, but without an end"),
        pytest.param((b'data: {"id":"c1","choices":[{"index":0,"delta":{"con',), id="in good order, in a frame"),
    ],
)
async def test_stream_breaks_off(place: Place, tail: tuple[Any, ...]) -> None:
    """A stream that breaks off behind something meaningful ends in an error in the stream, and without ``[DONE]``."""
    place.provider.answers(stream(ROLE, chunk({"content": "It"}), *tail))

    said = await place.ask(STREAM)

    assert "server_error" == broken_off(said)["type"]
    assert said.text.startswith(f"data: {json.dumps(ROLE)}\n\ndata: {json.dumps(chunk({'content': 'It'}))}\n\n")


async def test_stream_for_a_client_that_wants_it_whole_breaks_off(place: Place) -> None:
    """A stream that breaks off is no reply for a client that wants it whole."""
    place.provider.answers(stream(ROLE, chunk({"content": "It"}), Break()))

    failed(await place.ask(WHOLE), 502)


async def test_asked_once(place: Place) -> None:
    """A provider that closes a fresh connection without an answer may have done the work: it is not asked again."""
    place.provider.answers(raw(Break()), whole(answer()))

    failed(await place.ask(WHOLE), 502)

    assert 1 == len(place.provider.seen)


# ---- garbage ------------------------------------------------------------------------------------


@both
@pytest.mark.parametrize(
    "garbage", [b"\x00\xff\xfe\r\n\r\n", b"hello\r\n\r\n", b"SSH-2.0-OpenSSH_9.6\r\n", b"HTTP/1.1 abc OK\r\n\r\n"]
)
async def test_provider_speaks_no_http(place: Place, body: dict[str, Any], garbage: bytes) -> None:
    """A provider that speaks no HTTP is told of as such, with 502."""
    place.provider.answers(raw(garbage))

    error = failed(await place.ask(body), 502)

    assert "'acme'" in error["message"]


@both
@pytest.mark.parametrize("content_type", ["text/html; charset=utf-8", "application/json", "text/event-stream"])
async def test_page_in_a_200(place: Place, body: dict[str, Any], content_type: str) -> None:
    """A page of HTML under 200 is an error, 502, which tells its title and shows no markup."""
    place.provider.answers(whole(PAGE, content_type=content_type))

    error = failed(await place.ask(body), 502)

    assert "502 Bad Gateway" in error["message"]
    assert "<" not in error["message"]


@both
@pytest.mark.parametrize("status", [403, 404, 502, 504])
async def test_page_in_an_error(place: Place, body: dict[str, Any], status: int) -> None:
    """A page of HTML under an error's status keeps the status, and becomes an error in OpenAI's shape."""
    place.provider.answers(whole(PAGE, status, content_type="text/html", retry_after="7"))

    said = await place.ask(body)

    assert "502 Bad Gateway" in failed(said, status)["message"]
    assert "<" not in said.text


async def test_garbage_in_a_stream(place: Place) -> None:
    """Garbage behind something meaningful ends the stream with an error in the stream."""
    place.provider.answers(stream(ROLE, chunk({"content": "It"}), b"data: \xff\xfe{\n\n", b"data: <html>\n\n"))

    said = await place.ask(STREAM)

    broken_off(said)


async def test_bad_chunk(place: Place) -> None:
    """A chunk of no size behind something meaningful ends the stream with an error in the stream."""
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    frame = b"data: " + json.dumps(chunk({"content": "It"})).encode() + b"\n\n"
    begun = asyncio.Event()
    place.provider.answers(raw(head + b"%x\r\n%b\r\n" % (len(frame), frame), Wait(begun), b"ZZ\r\nwhat\r\n"))

    async with asyncio.TaskGroup() as group:
        asking = group.create_task(place.ask(STREAM))
        await until(lambda: any(exchange.writes for exchange in place.gateway.gateway.exchanges))
        begun.set()

    broken_off(asking.result())


# ---- not there, not answering -------------------------------------------------------------------


@both
async def test_refused_connection(gateway: GatewayMaker, body: dict[str, Any], closed_port: int) -> None:
    """A provider that is not there is told of with 503: which one it is, and what to look at."""
    running = await gateway(config(Provider(f"http://127.0.0.1:{closed_port}/v1")), ENV)

    status, said = await running.post(body)

    error = error_in(said)
    assert (503, "server_error") == (status, error["type"])
    assert f"'acme' (http://127.0.0.1:{closed_port})" in error["message"]
    assert "base_url" in error["message"]


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(raw(Hang()), id="nothing"),
        pytest.param(raw(b"HTTP/1.1 200 OK\r\n", Hang()), id="in the head"),
        pytest.param(stream(Hang()), id="behind the head"),
        pytest.param(stream(ROLE, Hang()), id="behind the role"),
        pytest.param(whole_in(b'{"id":', Hang()), id="in the body"),
        pytest.param(Answer((b'{"error":', Hang()), 500, {"content-type": "application/json"}), id="in an error"),
    ],
)
@pytest.mark.parametrize("body", [pytest.param(WHOLE, id="whole"), pytest.param(STREAM, id="stream")])
async def test_silence(start: PlaceMaker, said: Answer, body: dict[str, Any]) -> None:
    """A provider that falls silent before anything meaningful is given up with 504, and its connection is closed."""
    clock = FakeClock()
    place = await start(clock.clock, silence_timeout=60, commit_delay=900)
    place.provider.answers(said)

    async with asyncio.TaskGroup() as group:
        asking = group.create_task(place.ask(body))
        await place.provider.asked.wait()
        await until_all_read(place)
        await clock.advance(62)

    error = failed(asking.result(), 504)
    assert "timeout" == error["code"]
    assert "was silent for 60 s" in error["message"]
    await asyncio.wait_for(place.provider.left.wait(), 5)


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(raw(Hang()), id="before the head"),
        pytest.param(stream(ROLE, Hang()), id="behind the role"),
        pytest.param(stream(ROLE, chunk({"content": "It"}), Hang()), id="behind something meaningful"),
    ],
)
async def test_silence_in_a_stream(start: PlaceMaker, said: Answer) -> None:
    """Once the client's response has begun, with heartbeats too, silence ends it with an error in the stream."""
    clock = FakeClock()
    place = await start(clock.clock, silence_timeout=60, commit_delay=10, heartbeat=10)
    place.provider.answers(said)

    async with asyncio.TaskGroup() as group:
        asking = group.create_task(place.ask(STREAM))
        await place.provider.asked.wait()
        await until_all_read(place)
        await clock.advance(63)

    reply = asking.result()
    assert "was silent for 60 s" in broken_off(reply)["message"]
    assert 4 <= reply.text.count(": keep-alive\n\n") <= 6


async def test_deadline(start: PlaceMaker) -> None:
    """An answer that takes longer than the deployment allows is ended with 504, whatever the provider still says."""
    clock = FakeClock()
    place = await start(clock.clock, deadline=30)
    place.provider.answers(whole_in(Hang()))

    async with asyncio.TaskGroup() as group:
        asking = group.create_task(place.ask(WHOLE))
        await place.provider.asked.wait()
        await clock.advance(32)

    assert "timeout" == failed(asking.result(), 504)["code"]
    await asyncio.wait_for(place.provider.left.wait(), 5)


# ---- refusals -----------------------------------------------------------------------------------


@both
@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 408, 409, 413, 422, 429, 498, 500, 501, 502, 503, 504, 529])
async def test_refusal(place: Place, body: dict[str, Any], status: int) -> None:
    """A provider's error in this dialect reaches the client as it is: status, bytes, and the headers that an SDK reads."""
    written = json.dumps(REFUSAL, indent=3).encode()
    told = {"retry_after": "7", "x_request_id": "req_1", "x_ratelimit_remaining_requests": "0", "x_should_retry": "false"}
    place.provider.answers(whole(written, status, **told, set_cookie="a=b", x_internal="secret"))

    said = await place.ask(body)

    assert (status, written) == (said.status, said.body)
    assert {name.replace("_", "-"): value for name, value in told.items()}.items() <= said.headers.items()
    assert set() == {"set-cookie", "x-internal"} & said.headers.keys()
    assert 1 == len(place.provider.seen)


async def test_refusal_without_retry_after(place: Place) -> None:
    """When another try may succeed is told to the client also where the provider says it in words only."""
    refusal = {"error": REFUSAL["error"] | {"message": "Rate limit reached. Please try again in 1.5s."}}
    place.provider.answers(whole(refusal, 429))

    said = await place.ask(WHOLE)

    assert (429, "2", "1500", refusal) == (said.status, said.headers["retry-after"], said.headers["retry-after-ms"], said.json)


@both
async def test_refusal_that_shows_a_key(place: Place, body: dict[str, Any]) -> None:
    """A provider's error that is no JSON is told without the key that it may hold."""
    place.provider.answers(whole(b"bad key sk-abcdefghijklmnopqrstuvwx", 401, content_type="text/plain"))

    said = await place.ask(body)

    assert "bad key" in failed(said, 401)["message"]
    assert "sk-abc" not in said.text


async def test_endless_refusal(place: Place) -> None:
    """Of an error's body no more is read than a person could: the client hears of it, the rest is left."""
    place.provider.answers(whole(b'{"error": {"message": "' + b"x" * (3 * 2**20) + b'"}}', 500))

    said = await place.ask(WHOLE)

    assert 2**20 + 1000 > len(failed(said, 500)["message"])


@both
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirect(place: Place, elsewhere: Provider, body: dict[str, Any], status: int) -> None:
    """A redirect is not followed, so the key goes nowhere else; the client is told with 502."""
    place.provider.answers(Answer((b"",), status, {"location": elsewhere.base_url + "/chat/completions"}))
    elsewhere.answers(whole(answer()))

    error = failed(await place.ask(body), 502)

    assert "redirect" in error["message"]
    assert [] == elsewhere.seen


async def test_redirect_of_the_list_of_models(place: Place, elsewhere: Provider) -> None:
    """Nor is one followed when the list of models is asked for."""
    place.provider.answers(Answer((b"",), 302, {"location": elsewhere.base_url + "/models"}))
    elsewhere.answers(whole({"data": [{"id": "stolen"}]}))

    status, listed = await place.gateway.get("/v1/models")

    assert (200, ["echo:echo"]) == (status, [model["id"] for model in listed["data"]])
    assert [] == elsewhere.seen


# ---- errors in a success ------------------------------------------------------------------------


async def test_error_in_a_whole_200(place: Place) -> None:
    """What a provider of the client's own dialect says when no other target can be tried is passed on as it came, its 200 too."""
    written = json.dumps(REFUSAL, indent=3).encode()
    place.provider.answers(whole(written))

    said = await place.ask(WHOLE)

    assert (200, written) == (said.status, said.body)


async def test_status_in_a_200_of_another_form(place: Place) -> None:
    """Where such an error names its status, that is the response's."""
    written = json.dumps({"error": {"message": "Slow down.", "code": 429}}).encode()
    place.provider.answers(whole(written))

    said = await place.ask(STREAM)

    assert (429, written) == (said.status, said.body)


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(stream(REFUSAL), id="first frame"),
        pytest.param(stream(b": ping\n\n", REFUSAL), id="behind a comment"),
        pytest.param(stream(b"event: error\ndata: " + json.dumps(REFUSAL).encode() + b"\n\n"), id="named frame"),
        pytest.param(stream(REFUSAL, DONE), id="with an end"),
    ],
)
async def test_error_frame_before_anything_meaningful(place: Place, said: Answer) -> None:
    """An error that a stream begins with is an error under its HTTP status, so that SDKs ask again."""
    place.provider.answers(said)

    assert REFUSAL["error"] == failed(await place.ask(STREAM), 502)


async def test_error_frame_behind_the_role(place: Place) -> None:
    """An error in a stream that has begun reaches a client who wants a stream as it came, as SDKs read it."""
    said = stream(b": ping\n\n", ROLE, REFUSAL)
    place.provider.answers(said)

    reply = await place.ask(STREAM)

    assert (200, b"".join(step for step in said.steps if isinstance(step, bytes))) == (reply.status, reply.body)
    assert reply.headers["content-type"].startswith("text/event-stream")


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(whole(REFUSAL), id="as JSON"),
        pytest.param(stream(json.dumps(REFUSAL).encode()), id="as events"),
    ],
)
async def test_error_body_where_a_stream_was_asked(place: Place, said: Answer) -> None:
    """An error that is no frame of a stream would be read by no SDK as one: it is an error under its HTTP status."""
    place.provider.answers(said)

    assert REFUSAL["error"] == failed(await place.ask(STREAM), 502)


async def test_error_frame_where_whole_was_asked(place: Place) -> None:
    """An error in a stream is one under its HTTP status for a client who wants the reply whole."""
    place.provider.answers(stream(ROLE, REFUSAL))

    assert REFUSAL["error"] == failed(await place.ask(WHOLE), 502)


@pytest.mark.parametrize(
    "tail",
    [
        pytest.param((REFUSAL,), id="then the end"),
        pytest.param((REFUSAL, DONE), id="then [DONE]"),
        pytest.param((REFUSAL, Break()), id="then a break"),
        pytest.param((b"event: error\ndata: " + json.dumps(REFUSAL).encode() + b"\n\n",), id="named frame"),
    ],
)
async def test_error_later_in_a_stream(place: Place, tail: tuple[Any, ...]) -> None:
    """An error in a stream behind something meaningful reaches the client in the stream, and is told once."""
    place.provider.answers(stream(ROLE, chunk({"content": "It"}), *tail))

    said = await place.ask(STREAM)

    assert 200 == said.status
    errors = [frame for frame in frames(said.text) if isinstance(frame, dict) and "error" in frame]
    assert [REFUSAL] == errors
    assert "It" == streamed_text(said.text)


async def test_error_later_in_a_stream_wanted_whole(place: Place) -> None:
    """The same is an error under its HTTP status for a client that wants the reply whole."""
    place.provider.answers(stream(ROLE, chunk({"content": "It"}), REFUSAL))

    said = await place.ask(WHOLE)

    assert REFUSAL["error"] == failed(said, 502)


async def test_a_model_that_writes_of_errors(place: Place) -> None:
    """What a model says about errors is no error."""
    text = '{"error": {"message": "x"}} "finish_reason": "stop" data: [DONE] event: error'
    place.provider.answers(stream(*chunks("data: ", text), DONE))

    said = await place.ask(STREAM)

    assert (200, "data: " + text, DONE) == (said.status, streamed_text(said.text), frames(said.text)[-1])


# ---- otherwise than asked -----------------------------------------------------------------------


async def test_stream_where_whole_was_asked(place: Place) -> None:
    """A stream that answers a client who wants it whole is put together."""
    place.provider.answers(stream(*chunks("It", " is."), DONE))

    said = await place.ask(WHOLE)

    assert (200, "application/json") == (said.status, said.headers["content-type"])
    assert ("It is.", "stop") == (text_of(said.json), said.json["choices"][0]["finish_reason"])


async def test_whole_where_a_stream_was_asked(place: Place) -> None:
    """A whole reply to a client who wants a stream becomes one."""
    place.provider.answers(whole(answer("It is.")))

    said = await place.ask(STREAM)

    assert 200 == said.status and said.headers["content-type"].startswith("text/event-stream")
    assert ("It is.", DONE) == (streamed_text(said.text), frames(said.text)[-1])
    assert "stop" == frames(said.text)[-2]["choices"][0]["finish_reason"]


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
async def test_compressed_reply(place: Place, coding: str) -> None:
    """A compressed reply, although none was asked for, reaches the client readable and complete."""
    written = json.dumps(answer("It is.")).encode()
    pack = {"gzip": gzip.compress, "deflate": zlib.compress}[coding]
    place.provider.answers(whole(pack(written), content_encoding=coding))

    said = await place.ask(WHOLE)

    assert (200, written) == (said.status, said.body)
    assert "content-encoding" not in said.headers
    assert "identity" == place.provider.seen[0].headers["accept-encoding"]


async def test_compressed_stream(place: Place) -> None:
    """The same of a stream."""
    plain = b"".join(step for step in stream(*chunks("It", " is."), DONE).steps if isinstance(step, bytes))
    place.provider.answers(stream(gzip.compress(plain), content_encoding="gzip"))

    said = await place.ask(STREAM)

    assert (200, plain) == (said.status, said.body)


@both
async def test_compressed_refusal(place: Place, body: dict[str, Any]) -> None:
    """The same of an error."""
    place.provider.answers(whole(gzip.compress(json.dumps(REFUSAL).encode()), 429, content_encoding="gzip"))

    said = await place.ask(body)

    assert REFUSAL["error"] == failed(said, 429)


@both
async def test_not_compressed_as_told(place: Place, body: dict[str, Any]) -> None:
    """A reply that is not compressed as it says is an error, 502."""
    place.provider.answers(whole(answer(), content_encoding="gzip"))

    failed(await place.ask(body), 502)


@both
async def test_refusal_not_compressed_as_told(place: Place, body: dict[str, Any]) -> None:
    """An error that is not compressed as it says is an error all the same."""
    place.provider.answers(whole(REFUSAL, 429, content_encoding="gzip"))

    said = await place.ask(body)

    assert said.status in (429, 502)
    failed(said, said.status)


# ---- connections --------------------------------------------------------------------------------


@both
async def test_stale_connection(place: Place, body: dict[str, Any]) -> None:
    """A kept connection that the provider has closed meanwhile costs nothing: the next request goes over a fresh one, once."""
    length = b"content-length: %d\r\n\r\n" % len(json.dumps(answer()))
    kept = raw(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n" + length + json.dumps(answer()).encode())
    place.provider.answers(kept, whole(answer("Fresh.")))
    assert 200 == (await place.ask(WHOLE)).status

    said = await place.ask(body)

    assert 200 == said.status, said.text
    assert "Fresh." in said.text
    assert 2 == len(place.provider.seen)
    assert 2 == place.provider.connections


@pytest.mark.parametrize("number", range(8))
async def test_cut_anywhere(place: Place, number: int) -> None:
    """However a provider's bytes are cut on their way, the client gets the same bytes."""
    data = recorded()
    for pieces in islice(every_cut(data, most=60), number, None, 8):
        place.provider.answers(stream(*(piece for piece in pieces if piece)))

        said = await place.ask(STREAM)

        assert data == said.body


def recorded() -> bytes:
    """A stream such as providers send: comments, other line ends, characters of four bytes, calls, usage, odd spacing."""
    call = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "weigh", "arguments": ""}}
    pieces: list[Any] = [
        b": OPENROUTER PROCESSING\n\n",
        ROLE,
        chunk({"content": "Grüße, \u2028 🙈"}),
        b'data:{"id":"c1","choices":[{"index":0,"delta":{"content":"\xf0\x9f\x99\x88 \\ud83d\\ude48"}}],  "x": 1e400}\r\n\r\n',
        chunk({"tool_calls": [call]}),
        chunk({"tool_calls": [{"index": 0, "function": {"arguments": '{"kg"'}}]}),
        b": ping\n\n",
        chunk({"tool_calls": [{"index": 0, "function": {"arguments": ": 5}"}}]}),
        chunk({}, "tool_calls"),
        chunk({}, usage={"prompt_tokens": 4, "completion_tokens": 3, "total_tokens": 7}) | {"choices": []},
        DONE,
    ]
    return b"".join(step for step in stream(*pieces).steps if isinstance(step, bytes))


# ---- tools --------------------------------------------------------------------------------------


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port of ours on which nobody listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]


@pytest_asyncio.fixture
async def elsewhere() -> AsyncIterator[Provider]:
    """Another provider, where a redirect points."""
    async with Provider.start() as one:
        yield one


async def until_all_read(place: Place) -> None:
    """Wait until the gateway has read what the provider has said and waits for more."""

    def waits() -> bool:
        return all(exchange.waiting for exchange in place.gateway.gateway.exchanges)

    await until(waits)
    await asyncio.sleep(0.05)  # what is on its way in the kernel of the system shows nowhere
