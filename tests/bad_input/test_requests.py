"""Whatever a client sends: it is told what is wrong in OpenAI's own words, and everybody else is served on.

That the gateway still serves, and that no traceback was logged, is checked after every test (``conftest.py``).
"""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from llmgw_testing import RunningGateway, whole
from tests.bad_input.place import CHAT, Place, only, post, responses, values
from tests.shared import answer, error_for_all, error_in, question, text_of, until

GatewayMaker = Callable[..., Awaitable[RunningGateway]]
PlaceMaker = Callable[..., Awaitable[Place]]

MEGABYTE = 2**20
DEEP = 10_000


def without(*keys: str) -> dict[str, Any]:
    """A question that lacks something."""
    return {key: value for key, value in question().items() if key not in keys}


# ---- not JSON -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b'{"model": "acme:anvil", "messages": [{"role": "us', id="cut"),
        pytest.param(b'{"model": "acme:anvil", "messages": [{"role": "user", "content": "x"}],}', id="trailing comma"),
        pytest.param(b"{'model': 'acme:anvil', 'messages': []}", id="single quotes"),
        pytest.param(b'{"model": "acme:anvil", "temperature": NaN, "messages": [{"role": "user"}]}', id="NaN"),
        pytest.param(b'{"model": "acme:anvil", "temperature": NaN, "messages": [{"role": "\\u0075ser"}]}', id="NaN, escapes"),
        pytest.param(b'{"model": "acme:anvil", "temperature": -Infinity, "messages": [{"role": "user"}]}', id="Infinity"),
        pytest.param(b'{"model": "acme:anvil", "messages": [{"role": "user"}]} {}', id="two values"),
        pytest.param(b'{"model": "acme:anvil", "messages": [{"role": "user", "content": "a\nb"}]}', id="raw line feed"),
        pytest.param(b'\xef\xbb\xbf{"model": "acme:anvil", "messages": [{"role": "user"}]}', id="byte order mark"),
        pytest.param(b"model=acme:anvil&messages=x", id="form"),
        pytest.param(b"", id="empty"),
        pytest.param(b" \r\n", id="blank"),
        pytest.param(b"\0" * 100, id="zeros"),
    ],
)
async def test_not_json(place: Place, body: bytes) -> None:
    """A body that is not JSON is refused with 400, saying so, and no provider is asked."""
    error = await place.refused(body, 400)

    assert "not valid JSON" in error["message"]
    assert ("invalid_request_error", None) == (error["type"], error["param"])
    assert [] == place.provider.seen


@pytest.mark.parametrize("body", [b"[]", b'"x"', b"5", b"null", b"true", b'[{"model": "acme:anvil"}]'])
async def test_no_object(place: Place, body: bytes) -> None:
    """A body that is JSON but no object is refused with 400, saying what it must be."""
    error = await place.refused(body, 400)

    assert "must be a JSON object" in error["message"]
    assert [] == place.provider.seen


@pytest.mark.parametrize("bad", [b"\xff", b"\xc3(", b"\xed\xa0\x80", b"\xf5\x80\x80\x80", b"\xc0\xaf", b"\xe2\x82"])
@pytest.mark.parametrize("also", [b"", b", \\u0041"])
@pytest.mark.parametrize("model", [b"acme:anvil", b"echo:echo"])
async def test_not_utf8(place: Place, bad: bytes, also: bytes, model: bytes) -> None:
    """A body that is not UTF-8 is refused with 400, naming the byte."""
    before = b'{"model": "' + model + b'", "messages": [{"role": "user", "content": "'

    error = await place.refused(before + bad + also + b'"}]}', 400)

    assert f"not UTF-8 at byte {len(before)}" in error["message"]


@pytest.mark.parametrize("escape", ["", "\\u0041"])
@pytest.mark.parametrize("where", ["messages", "unheard_of"])
@pytest.mark.parametrize("brackets", ["[]", ['{"a":', "}"]])
@pytest.mark.parametrize("model", ["acme:anvil", "echo:echo"])
async def test_nested_too_deeply(place: Place, escape: str, where: str, brackets: list[str], model: str) -> None:
    """Ten thousand levels of nesting are refused with 400, saying so, wherever they stand."""
    deep = brackets[0] * DEEP + "1" + brackets[1] * DEEP
    body = f'{{"user": "{escape}", "model": "{model}", "{where}": {deep}}}'.encode()

    error = await place.refused(body, 400)

    assert "nested too deeply" in error["message"]


@pytest.mark.parametrize("levels", [100, 500, 900, 990, 1000, 1010, 1020, 1023, 1024, 1025])
@pytest.mark.parametrize("model", ["anvil", "acme:anvil", "echo:echo"])
@pytest.mark.parametrize("escape", ["", "\\u0041"])
async def test_nested_at_the_limit(place: Place, levels: int, model: str, escape: str) -> None:
    """Up to a limit nesting is carried, beyond it refused with 400; at no depth does the gateway itself fail."""
    place.provider.answers(whole(answer()))
    deep = "[" * levels + "]" * levels
    # the model stands last, so that its place must be looked for
    body = f'{{"unheard_of": {deep}, "user": "{escape}", "messages": [{{"role": "user", "content": "x"}}], "model": "{model}"}}'

    said = await place.ask(body.encode())

    assert said.status in (200, 400), said.text
    assert said.status == 200 or "nested too deeply" in error_in(said.json)["message"]
    assert said.status == 200 or levels > 900


# ---- not a request ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "param"),
    [
        pytest.param(question(model=5), "model", id="model a number"),
        pytest.param(question(model=""), "model", id="model empty"),
        pytest.param(question(model=None), "model", id="model null"),
        pytest.param(question(model=["acme:anvil"]), "model", id="model a list"),
        pytest.param(without("model"), "model", id="model missing"),
        pytest.param({}, "model", id="nothing"),
        pytest.param(without("messages"), "messages", id="messages missing"),
        pytest.param(question() | {"messages": []}, "messages", id="messages empty"),
        pytest.param(question() | {"messages": None}, "messages", id="messages null"),
        pytest.param(question() | {"messages": "Hello"}, "messages", id="messages a string"),
        pytest.param(question() | {"messages": {"role": "user"}}, "messages", id="messages an object"),
        pytest.param(question() | {"messages": [1, 2]}, "messages[0]", id="messages numbers"),
        pytest.param(question() | {"messages": [*question()["messages"], None]}, "messages[1]", id="message null"),
        pytest.param(question() | {"messages": [{"content": "x"}]}, "messages[0].role", id="role missing"),
        pytest.param(question() | {"messages": [{"role": 1, "content": "x"}]}, "messages[0].role", id="role a number"),
        pytest.param(question() | {"messages": [{"role": None, "content": "x"}]}, "messages[0].role", id="role null"),
        pytest.param(question(stream="yes"), "stream", id="stream a string"),
        pytest.param(question(stream=1), "stream", id="stream a number"),
        pytest.param(question(stream=[]), "stream", id="stream a list"),
        pytest.param(question(stream=True, stream_options=[]), "stream_options", id="stream_options a list"),
        pytest.param(question(stream=True, stream_options="x"), "stream_options", id="stream_options a string"),
    ],
)
async def test_wrong_type(place: Place, body: dict[str, Any], param: str) -> None:
    """A field that routing needs, missing or of the wrong type, is refused with 422, naming its path."""
    error = await place.refused(body, 422)

    assert param == error["param"]
    assert "invalid_request_error" == error["type"]
    assert [] == place.provider.seen


@pytest.mark.parametrize(
    ("body", "param"),
    [
        pytest.param(question(5, model="echo:echo"), "messages[0].content", id="content a number"),
        pytest.param(question({}, model="echo:echo"), "messages[0].content", id="content an object"),
        pytest.param(
            question([{"type": "text", "text": 5}], model="echo:echo"), "messages[0].content[0].text", id="text a number"
        ),
        pytest.param(question(model="echo:echo", tools={}), "tools", id="tools an object"),
        pytest.param(question(model="echo:echo", tools=[5]), "tools[0]", id="tool a number"),
        pytest.param(question(model="echo:echo", max_tokens="many"), "max_tokens", id="max_tokens a string"),
    ],
)
async def test_wrong_type_where_the_prompt_is_read(place: Place, body: dict[str, Any], param: str) -> None:
    """A back-end that reads the prompt refuses with 422 what it cannot read, naming its path."""
    error = await place.refused(body, 422)

    assert param == error["param"]


async def test_wrong_type_where_nobody_reads(place: Place) -> None:
    """What the gateway need not read it does not judge: the provider gets it as it came, and the client hears the provider."""
    refusal = {"error": {"message": "Invalid type.", "type": "invalid_request_error", "param": "content", "code": None}}
    place.provider.answers(whole(refusal, 400))

    said = await place.ask(question(5, temperature="hot"))

    assert (400, refusal) == (said.status, said.json)
    assert question(5, temperature="hot", model="anvil") == place.provider.seen[0].json


# ---- models that are not there ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "near"),
    [
        pytest.param("ecko", "'echo:echo'", id="bare"),
        pytest.param("acne:anvil", "'acme:anvil'", id="prefix"),
        pytest.param("gpt-9", "backend:model", id="nothing near"),
        pytest.param("🙈" * 5000, "backend:model", id="long"),
    ],
)
async def test_unknown_model(gateway: GatewayMaker, model: str, near: str) -> None:
    """A model that nobody serves is refused with 404, with the nearest name or with how to name one."""
    back_ends = {"acme": {"type": "openai-compatible", "base_url": "http://127.0.0.1:9/v1"}, "echo": {}}
    running = await gateway({"backends": back_ends, "default_backend": "echo"})

    status, body = await running.post(question(model=model))

    error = error_in(body)
    assert (404, "model", "model_not_found") == (status, error["param"], error["code"])
    assert near in error["message"]
    assert 2000 > len(error["message"])
    assert 200 == (await running.post(question(model="echo")))[0]


@pytest.mark.parametrize(
    "path", ["/v1/models/ecko", "/v1/models/acme:none", "/v1/models/%00", "/v1/models/%ff", "/v1/models/a/b"]
)
async def test_unknown_model_retrieved(place: Place, path: str) -> None:
    """To ask for one model that is in no list is answered with 404 in OpenAI's shape."""
    place.provider.answers(whole({"object": "list", "data": [{"id": "anvil", "object": "model"}]}))

    status, body = await place.gateway.get(f"/v1/models/{path}")

    assert (404, "model_not_found") == (status, error_for_all(body)["code"])


# ---- strange, and yet good ----------------------------------------------------------------------


@pytest.mark.parametrize("model", ["anvil", "acme:anvil"])
@pytest.mark.parametrize("surrogate", [rb"\ud83d", rb"\uDE00 \uD83D", rb"\ud83d\ude00"])
async def test_surrogates_are_forwarded(place: Place, model: str, surrogate: bytes) -> None:
    """A lone surrogate, as JavaScript sends it, is accepted, and the provider gets the very bytes."""
    place.provider.answers(whole(answer()))
    body = b'{"model":"%b", "messages":[{"role":"user","content":"a ' + surrogate + b' b"}]}'

    said = await place.ask(body % model.encode())

    assert (200, body % b"anvil") == (said.status, place.provider.seen[0].body)


async def test_surrogates_are_answered(place: Place) -> None:
    """A back-end that reads the prompt reads a lone surrogate, and it stands in the answer, escaped."""
    said = await place.ask(rb'{"model": "echo:echo", "messages": [{"role": "user", "content": "a \ud83d b"}]}')

    assert 200 == said.status
    assert "a \ud83d b" in text_of(said.json)


async def test_surrogates_are_streamed(place: Place) -> None:
    """The same in a stream, which is UTF-8 all the same."""
    said = await place.ask(rb'{"model": "echo:echo", "stream": true, "messages": [{"role": "user", "content": "a \ud83d b"}]}')

    assert 200 == said.status
    assert "\\ud83d" in said.text
    assert said.text.endswith("data: [DONE]\n\n")


async def test_duplicate_model(place: Place) -> None:
    """Of a model named twice the last counts, in where it goes and in what the provider gets."""
    place.provider.answers(whole(answer()))

    said = await place.ask(b'{"model":"echo:echo","messages":[{"role":"user","content":"x"}],"model":"acme:anvil"}')

    assert 200 == said.status
    assert "anvil" == values(json.loads(place.provider.seen[0].body, object_pairs_hook=list), "model")[-1]


async def test_duplicate_model_for_echo(place: Place) -> None:
    """The same the other way round: the first name is not where it goes."""
    said = await place.ask(b'{"model":"acme:anvil","messages":[{"role":"user","content":"x"}],"model":"echo:echo"}')

    assert (200, []) == (said.status, place.provider.seen)
    assert "This is echo" in text_of(said.json)


@pytest.mark.parametrize("model", [b"anvil", b"acme:anvil"])
async def test_duplicate_messages(place: Place, model: bytes) -> None:
    """Of messages given twice the provider gets the last as the last."""
    place.provider.answers(whole(answer()))
    first, last = b'"messages":[{"role":"user","content":"one"}]', b'"messages":[{"role":"user","content":"two"}]'

    said = await place.ask(b"{" + first + b',"model":"' + model + b'",' + last + b"}")

    assert 200 == said.status
    assert "two" == place.provider.seen[0].json["messages"][0]["content"]


async def test_duplicate_messages_for_echo(place: Place) -> None:
    """A back-end that reads the prompt reads the last of messages given twice."""
    first, last = b'"messages":[{"role":"user","content":"one"}]', b'"messages":[{"role":"user","content":"two"}]'

    said = await place.ask(b'{"model":"echo:echo",' + first + b"," + last + b"}")

    assert "Last message (user): two" in text_of(said.json)


@pytest.mark.parametrize("stream", [b"true", b"false"])
async def test_duplicate_stream(place: Place, stream: bytes) -> None:
    """Of ``stream`` given twice the last counts."""
    other = b"false" if stream == b"true" else b"true"

    said = await place.ask(
        b'{"stream":' + other + b',"model":"echo:echo","messages":[{"role":"user","content":"x"}],"stream":' + stream + b"}"
    )

    assert (stream == b"true") == said.headers["content-type"].startswith("text/event-stream")


# ---- too large ----------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["acme:anvil", "echo:echo"])
async def test_large_body(place: Place, model: str) -> None:
    """A body of 50 MB, told in advance, is refused with 413, saying the limit and where it is set."""
    error = await place.refused(io.BytesIO(large(50 * MEGABYTE, model)), 413)

    assert f"larger than {32 * MEGABYTE} bytes" in error["message"]
    assert "proxy.max_request_bytes" in error["message"]
    assert [] == place.provider.seen


async def test_large_body_of_unknown_length(place: Place) -> None:
    """A body of 50 MB of which nobody told the length is refused with 413 as well."""

    async def pieces() -> AsyncIterator[bytes]:
        body = large(50 * MEGABYTE)
        for begin in range(0, len(body), MEGABYTE):
            yield body[begin : begin + MEGABYTE]

    error = await place.refused(pieces(), 413)

    assert f"larger than {32 * MEGABYTE} bytes" in error["message"]


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
async def test_large_body_compressed(place: Place, coding: str) -> None:
    """A small body that inflates to 50 MB is refused with 413."""
    pressed = pack(large(50 * MEGABYTE), coding)
    assert 100_000 > len(pressed)

    error = await place.refused(pressed, 413, content_encoding=coding)

    assert f"larger than {32 * MEGABYTE} bytes" in error["message"]


async def test_body_at_the_limit(start: PlaceMaker) -> None:
    """A body of exactly as many bytes as the deployment allows is accepted."""
    place = await start(max_request_bytes=1000)

    said = await place.ask(large(1000, "echo:echo"))

    assert 200 == said.status, said.text


@pytest.mark.parametrize("coding", ["identity", "gzip"])
async def test_body_over_the_limit(start: PlaceMaker, coding: str) -> None:
    """A body of one byte more is refused with 413."""
    place = await start(max_request_bytes=1000)

    error = await place.refused(pack(large(1001, "echo:echo"), coding), 413, content_encoding=coding)

    assert "larger than 1000 bytes" in error["message"]


async def test_large_header(place: Place) -> None:
    """A header of 100 KB is refused with 400 or 431."""
    said = only(await place.talk(post(b"{}", "x-large: " + "x" * 100_000)))

    assert said.status in (400, 431)


async def test_many_headers(place: Place) -> None:
    """Ten thousand headers are refused with 400 or 431."""
    said = only(await place.talk(post(b"{}", *(f"x-{n}: 1" for n in range(10_000)))))

    assert said.status in (400, 431)


# ---- encodings ----------------------------------------------------------------------------------


@pytest.mark.parametrize("coding", ["gzip", "deflate", "raw deflate", "identity"])
async def test_compressed(place: Place, coding: str) -> None:
    """A compressed body is accepted, and the provider gets it plain."""
    place.provider.answers(whole(answer()))
    body = json.dumps(question(model="anvil")).encode()

    said = await place.ask(pack(body, coding), content_encoding=coding.removeprefix("raw "))

    assert 200 == said.status, said.text
    assert body == place.provider.seen[0].body
    assert "content-encoding" not in place.provider.seen[0].headers


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd"])
async def test_not_compressed_as_told(place: Place, coding: str) -> None:
    """A body that is not compressed as it says is refused with 400, saying so."""
    error = await place.refused(json.dumps(question()).encode(), 400, content_encoding=coding)

    assert "content-encoding" in error["message"]


async def test_cut_compressed(place: Place) -> None:
    """A compressed body that lacks its end is refused with 400."""
    await place.refused(gzip.compress(json.dumps(question()).encode())[:-20], 400, content_encoding="gzip")


async def test_unknown_encoding(place: Place) -> None:
    """A body in an encoding that nobody knows is refused with 400: it cannot be read."""
    await place.refused(b"\x00\x01" + json.dumps(question()).encode(), 400, content_encoding="snappy")


@pytest.mark.parametrize(
    "kind", ["", "text/plain", "application/x-www-form-urlencoded", "application/json; charset=x", "nonsense"]
)
async def test_content_type_does_not_matter(place: Place, kind: str) -> None:
    """JSON is JSON, whatever its content-type says: ``curl -d`` calls it a form."""
    body = json.dumps(question("Grüße", model="echo:echo"), ensure_ascii=False).encode()

    said = only(await place.talk(post(body, f"content-type: {kind}", "connection: close")))

    assert 200 == said.status, said.text
    assert "Grüße" in text_of(said.json)


async def test_expect_continue(place: Place) -> None:
    """Whoever asks whether to go on, as curl does before a large body, is told to, and then answered."""
    data = await place.talk(post(json.dumps(question(model="echo:echo")).encode(), "expect: 100-continue", "connection: close"))

    assert [100, 200] == [said.status for said in responses(data)]


# ---- slow, cut and strange connections ----------------------------------------------------------


async def test_body_stops_arriving(start: PlaceMaker) -> None:
    """A body that stops arriving is answered with 408 once its time is over."""
    place = await start(request_timeout=0.2)

    said = only(await place.talk(post(b'{"model": "acme:anvil", ', length=1000), end=b"}}"))

    error = error_in(said.json)
    assert (408, "timeout") == (said.status, error["code"])
    assert "within 0.2 s" in error["message"]


async def test_body_drips(start: PlaceMaker) -> None:
    """A body that arrives byte by byte gets no more time than another."""
    place = await start(request_timeout=0.2)

    async def drip() -> AsyncIterator[bytes]:
        while True:
            yield b" "
            await asyncio.sleep(0.02)

    await place.refused(drip(), 408)


async def test_head_stops_arriving(start: PlaceMaker) -> None:
    """A connection on which the head of a request does not come to its end is closed when its time is over."""
    place = await start(keepalive_timeout=0.2)

    assert b"" == await place.talk(f"POST {CHAT} HTTP/1.1\r\nhost: x\r\nx-slow: ".encode())


async def test_head_stops_arriving_on_a_kept_connection(start: PlaceMaker) -> None:
    """The same holds for the second request of a connection."""
    place = await start(keepalive_timeout=0.2)
    good = post(json.dumps(question(model="echo:echo")).encode())

    said = only(await place.talk(good, f"POST {CHAT} HTTP/1.1\r\nhost: x\r\nx-slow: ".encode()))

    assert 200 == said.status


async def test_nothing_arrives(start: PlaceMaker) -> None:
    """A connection on which nothing is said is closed when its time is over."""
    place = await start(keepalive_timeout=0.2)

    assert b"" == await place.talk()


@pytest.mark.parametrize("framing", ["length", "chunks"])
async def test_half_closed(place: Place, framing: str) -> None:
    """A client that stops sending in the middle of a body is let go, and no provider is asked."""
    body = b'{"model": "acme:anvil", "messages": [{"role": "user", "content": "'
    half = post(body, length=1000) if framing == "length" else post(b"400\r\n" + body, "transfer-encoding: chunked", length=-1)

    data = await place.talk(half, half_close=True)

    assert data == b"" or only(data).status == 400
    await until(lambda: not place.gateway.gateway.exchanges)
    assert [] == place.provider.seen


@pytest.mark.parametrize(
    "garbage",
    [
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200), id="TLS"),
        pytest.param(b"\x00" * 1000 + b"\r\n\r\n", id="zeros"),
        pytest.param(b"hello\r\n\r\n", id="words"),
        pytest.param(b"GET / HTTP/9.9\r\nhost: x\r\n\r\n", id="version from the future"),
        pytest.param(b"GET / HTTP/1.1\r\nno colon\r\n\r\n", id="header without a colon"),
        pytest.param(b"GET / HTTP/1.1\r\nhost: x\r\na\x00b: c\r\n\r\n", id="zero in a header"),
        pytest.param(post(b"{}").replace(b"POST", b"BREW"), id="unknown method"),
        pytest.param(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", id="HTTP/2"),
        pytest.param(post(b"{}", "transfer-encoding: chunked"), id="two framings"),
        pytest.param(post(b"ZZ\r\n{}\r\n0\r\n\r\n", "transfer-encoding: chunked", length=-1), id="chunk of no size"),
        pytest.param(post(b"{}", length=-5), id="negative length"),
        pytest.param(post(b"{}", "content-length: 7"), id="two lengths"),
    ],
)
async def test_not_http(place: Place, garbage: bytes) -> None:
    """What is no HTTP is answered with 400 in OpenAI's shape, and the connection is closed."""
    data = await place.talk(garbage)

    assert (400, "application/json") == (only(data).status, only(data).headers["content-type"]), data.decode()
    assert "HTTP" in error_for_all(only(data).json)["message"]


async def test_pipelined(place: Place) -> None:
    """Requests sent one behind the other without waiting are answered in their order, a bad one among them too."""
    good, bad = json.dumps(question("first", model="echo:echo")).encode(), b"[]"
    last = json.dumps(question("last", model="echo:echo")).encode()

    data = await place.talk(post(good) + post(bad) + post(last, "connection: close"))

    first, second, third = responses(data)
    assert [200, 400, 200] == [first.status, second.status, third.status]
    assert "first" in text_of(first.json) and "last" in text_of(third.json)
    assert "must be a JSON object" in error_in(second.json)["message"]


async def test_connection_survives_errors(place: Place) -> None:
    """An error does not cost the client its connection."""
    data = await place.talk(*(post(b"[]") for _ in range(20)), post(b"", "connection: close"))

    assert [400] * 21 == [said.status for said in responses(data)]


# ---- paths and methods --------------------------------------------------------------------------


async def test_head(place: Place) -> None:
    """HEAD is answered with a status and no body."""
    said = await place.talk(b"HEAD / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")

    head, _, body = said.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 404 ") and b"" == body


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        pytest.param("/v1/chat/completion", "Did you mean /v1/chat/completions?", id="misspelt"),
        pytest.param("/v1/chat/completions/", "Did you mean /v1/chat/completions?", id="slash behind"),
        pytest.param("//v1/chat/completions", "Did you mean /v1/chat/completions?", id="slashes before"),
        pytest.param("/v1/v1/chat/completions", "Did you mean /v1/chat/completions?", id="v1 twice"),
        pytest.param("/", "Served are: ", id="root"),
        pytest.param("/zebra", "/v1/chat/completions", id="nothing near"),
        pytest.param("/%zz", "/v1/chat/completions", id="bad escape"),
        pytest.param("/../../etc/passwd", "/v1/chat/completions", id="climbing"),
        pytest.param("/" + "x" * 20_000, "/v1/chat/completions", id="long"),
    ],
)
async def test_unknown_path(place: Place, path: str, hint: str) -> None:
    """A path that is not served is answered with 404, and with what is served."""
    said = only(await place.talk(f"GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".encode()))

    assert (404, "application/json") == (said.status, said.headers["content-type"])
    error = error_for_all(said.json)
    assert hint in error["message"]
    assert 2000 > len(error["message"])


@pytest.mark.parametrize(
    ("method", "path", "use"),
    [
        ("GET", CHAT, "POST"),
        ("PUT", CHAT, "POST"),
        ("DELETE", CHAT, "POST"),
        ("OPTIONS", CHAT, "POST"),
        ("POST", "/v1/models", "GET"),
        ("DELETE", "/v1/models/x", "GET"),
    ],
)
async def test_wrong_method(place: Place, method: str, path: str, use: str) -> None:
    """A method that is not served is answered with 405, and with the one that is, as RFC 9110 15.5.6 asks."""
    said = only(await place.talk(f"{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".encode()))

    assert (405, "application/json") == (said.status, said.headers["content-type"])
    error = (error_in if path == CHAT else error_for_all)(said.json)
    assert f"use {use}" in error["message"]
    assert use in said.headers["allow"]


# ---- making bodies ------------------------------------------------------------------------------


def large(size: int, model: str = "acme:anvil") -> bytes:
    """A good question of exactly so many bytes."""
    empty = json.dumps(question("", model=model)).encode()
    return empty.replace(b'"content": ""', b'"content": "' + b"x" * (size - len(empty)) + b'"')


def pack(body: bytes, coding: str) -> bytes:
    """The body in some coding."""
    match coding:
        case "gzip":
            return gzip.compress(body)
        case "deflate":
            return zlib.compress(body)
        case "raw deflate":
            packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
            return packer.compress(body) + packer.flush()
        case _:
            return body
