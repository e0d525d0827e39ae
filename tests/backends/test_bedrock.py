"""Bedrock: Claude's envelope, Converse, AWS's frames and signatures, and where the keys for these come from."""

from __future__ import annotations

import asyncio
import json
import stat
import struct
import zlib
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import anthropic
import botocore.auth
import botocore.awsrequest
import botocore.credentials
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmgw.errors import ConfigError, UpstreamBroken
from llmgw.events import Error, Event, ResponseEnd
from llmgw.secret import Secret
from llmgw.stages import Reader
from llmgw_bedrock import Bedrock
from llmgw_bedrock.converse import Converse
from llmgw_bedrock.eventstream import LIMIT, Splitter
from llmgw_bedrock.messages import BedrockMessages
from llmgw_bedrock.names import counted, is_claude
from llmgw_bedrock.signing import Keys, signed
from llmgw_testing import FakeClock, RunningGateway, every_cut, run_gateway
from tests.backends.fakes.bedrock import (
    ACCESS,
    ARN,
    BEARER,
    HAIKU,
    NOVA,
    REGION,
    SECRET,
    SONNET,
    TOKEN,
    FakeBedrock,
    chunked,
    excepted,
    frame,
    spoken,
)
from tests.backends.fronts import FRONTS, asked
from tests.toys import Toybox

BEARING = {"AWS_BEARER_TOKEN_BEDROCK": BEARER}
SIGNING = {"AWS_ACCESS_KEY_ID": ACCESS, "AWS_SECRET_ACCESS_KEY": SECRET}
MODEL = f"bedrock:{SONNET}"
ANSWER = "Forty-two, as ever \N{EM DASH} \N{LEFT SINGLE QUOTATION MARK}42\N{RIGHT SINGLE QUOTATION MARK}"
FRAMES = [chunked(tree) for tree in spoken(ANSWER)]


@asynccontextmanager
async def bedrock(env: Mapping[str, str] = BEARING, **options: Any) -> AsyncIterator[tuple[FakeBedrock, RunningGateway]]:
    """A region, and a gateway before it."""
    clock = FakeClock()
    async with FakeBedrock(now=clock.clock.time).running() as vendor:
        made = {"region": REGION, "base_url": vendor.url, "control_url": vendor.url, **options}
        async with run_gateway({"backends": {"bedrock": made}}, env, clock.clock) as running:
            yield vendor, running


async def told(
    running: RunningGateway, headers: Mapping[str, str] | None = None, **more: Any
) -> tuple[int, Any, Mapping[str, str]]:
    """What a client of Anthropic's is told."""
    body = FRONTS["anthropic"].body(MODEL, False) | more
    async with running.http.post(running.url + "/v1/messages", json=body, headers=headers) as response:
        return response.status, json.loads(await response.read()), dict(response.headers)


# ---- questions ----------------------------------------------------------------------------------


@pytest.mark.parametrize("env", [BEARING, SIGNING], ids=["bearer", "signed"])
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("front", FRONTS)
async def test_a_question(front: str, stream: bool, env: dict[str, str]) -> None:
    """Each client gets the answer, whichever way the gateway is known to AWS."""
    async with bedrock(env) as (vendor, running):
        said = await asked(running, front, MODEL, stream=stream)
    assert (200, vendor.says) == said


async def test_the_envelope() -> None:
    """Model and stream are in the URL; version and everybody's betas are in the body; no header is sent on."""
    async with bedrock(betas=["mine-1", "theirs-1"]) as (vendor, running):
        headers = {"anthropic-version": "2023-06-01", "anthropic-beta": "theirs-1, theirs-2"}
        body = FRONTS["anthropic"].body(MODEL, True)
        async with running.http.post(running.url + "/v1/messages", json=body, headers=headers) as response:
            await response.read()
    [came] = vendor.came
    assert f"/model/{SONNET}/invoke-with-response-stream" == came.path
    assert ("bedrock-2023-05-31", ["theirs-1", "theirs-2", "mine-1"]) == (
        came.json["anthropic_version"],
        came.json["anthropic_beta"],
    )
    assert {"model", "stream"}.isdisjoint(came.json)
    assert [] == [name for name in came.headers if name.startswith("anthropic")]


async def test_what_the_client_wrote_stays_to_the_letter() -> None:
    """Spacing, escapes and numbers of messages are its own: a prompt cache goes by them."""
    messages = '[ {"role":"user",  "content":"caf\\u00e9 1.0"} ]'
    body = f'{{"model": "{MODEL}", "max_tokens": 1e2, "messages": {messages}, "stream": false}}'
    async with bedrock() as (vendor, running), running.http.post(running.url + "/v1/messages", data=body.encode()) as response:
        assert 200 == response.status
    assert messages.encode() in vendor.came[0].body and b"1e2" in vendor.came[0].body


async def test_an_anthropic_client_gets_anthropics_frames() -> None:
    """What Anthropic itself would send, with what Bedrock adds to it."""
    body = FRONTS["anthropic"].body(MODEL, True)
    async with bedrock() as (vendor, running), running.http.post(running.url + "/v1/messages", json=body) as response:
        data = await response.read()
        kind = response.content_type
    frames = [f"event: {tree['type']}\ndata: {json.dumps(tree)}\n\n" for tree in spoken(vendor.says)]
    assert ("text/event-stream", "".join(frames)) == (kind, data.decode())


async def test_an_arn_is_one_step_of_the_path() -> None:
    """Its slash is encoded, and the signature is of what is sent."""
    async with bedrock(SIGNING, behind={ARN: "claude-sonnet-4-5"}) as (vendor, running):
        said = await asked(running, "chat", f"bedrock:{ARN}", stream=True)
    assert (200, vendor.says) == said


async def test_tools_and_pictures() -> None:
    """A client of Chat asks with a tool and a picture."""
    url = {"url": "data:image/png;base64,iVBORw0KGgo="}
    content = [{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": url}]
    tool = {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}
    async with bedrock() as (vendor, running):
        messages = [{"role": "user", "content": content}]
        status, _ = await asked(running, "chat", MODEL, stream=False, messages=messages, tools=[tool])
    tree = vendor.came[0].json
    [image] = [block for block in tree["messages"][0]["content"] if block["type"] == "image"]
    assert (200, "look", "base64") == (status, tree["tools"][0]["name"], image["source"]["type"])


async def test_a_picture_by_its_url() -> None:
    """Bedrock fetches none, so it is refused with the client's own path, and nothing is asked."""
    content = [{"type": "text", "text": "Hi"}, {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}]
    body = {"model": MODEL, "messages": [{"role": "user", "content": content}]}
    async with bedrock() as (vendor, running), running.http.post(running.url + "/v1/chat/completions", json=body) as response:
        tree = await response.json()
    assert (400, "messages[0].content[1]", []) == (response.status, tree["error"]["param"], vendor.came)


async def test_what_changes_no_answer_is_left_out_and_told() -> None:
    """Bedrock has no service tiers in the body, and Anthropic's accounts mean nothing to it."""
    async with bedrock() as (vendor, running):
        status, _, headers = await told(running, {"anthropic-workspace-id": "w"}, service_tier="auto")
    assert (200, {"tier", "anthropic-workspace-id"}) == (status, set(headers["x-llmgw-losses"].split(";")))
    assert "service_tier" not in vendor.came[0].json


@pytest.mark.parametrize(
    ("field", "value"),
    [("mcp_servers", [{"type": "url", "url": "https://x", "name": "x"}]), ("container", "c"), ("inference_geo", "us")],
)
async def test_what_changes_the_question_is_refused(field: str, value: Any) -> None:
    """With the client's path, and without asking."""
    async with bedrock() as (vendor, running):
        status, tree, _ = await told(running, **{field: value})
    assert (400, []) == (status, vendor.came) and f"`{field}`" in tree["error"]["message"]


# ---- other vendors' models ----------------------------------------------------------------------

OTHER = f"bedrock:{NOVA}"
LOOK = {"name": "look", "description": "Looks.", "input_schema": {"type": "object", "properties": {"at": {"type": "string"}}}}
PNG = {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}


@pytest.mark.parametrize("env", [BEARING, SIGNING], ids=["bearer", "signed"])
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("front", FRONTS)
async def test_a_question_to_another_vendors_model(front: str, stream: bool, env: dict[str, str]) -> None:
    """Each client gets the answer, by Converse."""
    async with bedrock(env) as (vendor, running):
        said = await asked(running, front, OTHER, stream=stream)
    [came] = vendor.came
    assert ((200, vendor.says), f"/model/{NOVA}/converse" + ("-stream" if stream else "")) == (said, came.path)
    assert "Be brief." in came.json["system"][0]["text"] and "model" not in came.json


async def test_a_model_that_nobody_knows() -> None:
    """An ARN whose model is not configured is asked by Converse, which takes all."""
    async with bedrock() as (vendor, running):
        said = await asked(running, "anthropic", f"bedrock:{ARN}", stream=True)
    assert (200, vendor.says) == said and vendor.came[0].path.endswith("/converse-stream")


async def test_a_model_that_converse_does_not_know() -> None:
    """It is told of the other endpoint."""
    async with bedrock() as (_, running):
        status, said = await asked(running, "chat", "bedrock:openai.gpt-oss-120b-1:0", stream=False)
    assert 400 == status and "openai-compatible" in said and "https://bedrock-mantle.us-west-2.api.aws/v1" in said


async def test_a_whole_conversation_by_converse() -> None:
    """Everything that a client of Anthropic's may send and Converse has."""
    text = {"type": "text", "text": "See:", "cache_control": {"type": "ephemeral"}}
    plain = {"type": "text", "media_type": "text/plain", "data": "Hé"}
    pdf = {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="}
    call = {"type": "tool_use", "id": "c1", "name": "look", "input": {"at": "it"}}
    thought = {"type": "thinking", "thinking": "Hm.", "signature": "sig"}
    result = {"type": "tool_result", "tool_use_id": "c1", "is_error": True, "content": [{"type": "image", "source": PNG}]}
    documents = [{"type": "document", "source": source} for source in (plain, pdf)]
    messages = [
        {"role": "user", "content": [text, {"type": "image", "source": PNG}, *documents]},
        {"role": "assistant", "content": [thought, {"type": "redacted_thinking", "data": "cmVk"}, call]},
        {"role": "user", "content": [result, {"type": "tool_result", "tool_use_id": "c1", "content": "Nothing"}]},
    ]
    settings = {"temperature": 0.5, "top_p": 0.9, "stop_sequences": ["END"], "tools": [LOOK], "tool_choice": {"type": "any"}}
    async with bedrock() as (vendor, running):
        status, _, headers = await told(running, model=OTHER, messages=messages, **settings)
    picture = {"image": {"format": "png", "source": {"bytes": PNG["data"]}}}
    expected = {
        "messages": [
            {"role": "user", "content": [
                {"text": "See:"}, picture,
                {"document": {"format": "txt", "name": "document 1", "source": {"bytes": "SMOp"}}},
                {"document": {"format": "pdf", "name": "document 2", "source": {"bytes": "JVBERi0="}}},
            ]},
            {"role": "assistant", "content": [
                {"reasoningContent": {"reasoningText": {"text": "Hm.", "signature": "sig"}}},
                {"reasoningContent": {"redactedContent": "cmVk"}},
                {"toolUse": {"toolUseId": "c1", "name": "look", "input": {"at": "it"}}},
            ]},
            {"role": "user", "content": [
                {"toolResult": {"toolUseId": "c1", "content": [picture], "status": "error"}},
                {"toolResult": {"toolUseId": "c1", "content": [{"text": "Nothing"}]}},
            ]},
        ],
        "system": [{"text": "Be brief."}],
        "inferenceConfig": {"maxTokens": 500, "temperature": 0.5, "topP": 0.9, "stopSequences": ["END"]},
        "toolConfig": {
            "tools": [{"toolSpec": {"name": "look", "description": "Looks.", "inputSchema": {"json": LOOK["input_schema"]}}}],
            "toolChoice": {"any": {}},
        },
    }  # fmt: skip
    assert (200, expected, "cache") == (status, vendor.came[0].json, headers["x-llmgw-losses"])


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ({"type": "auto"}, {"auto": {}}),
        ({"type": "tool", "name": "look"}, {"tool": {"name": "look"}}),
        ({"type": "none"}, None),
    ],
)
async def test_which_tool(choice: dict[str, str], expected: Any) -> None:
    """Where none may be called, none is sent."""
    async with bedrock() as (vendor, running):
        await told(running, model=OTHER, tools=[LOOK], tool_choice=choice)
    assert expected == vendor.came[0].json.get("toolConfig", {}).get("toolChoice")


async def test_what_converse_leaves_out_is_told() -> None:
    """What changes no more than the quality of an answer."""
    fields = {"top_k": 5, "metadata": {"user_id": "u"}, "thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}}
    async with bedrock() as (_, running):
        status, _, headers = await told(running, model=OTHER, **fields)
    assert 200 == status
    assert {"top_k", "end_user", "reasoning", "reasoning.effort"} == set(headers["x-llmgw-losses"].split(";"))


URL_SOURCE = {"type": "url", "url": "https://example.com/a.png"}


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("mcp_servers", {"mcp_servers": [{"type": "url", "url": "https://x", "name": "x"}]}),
        ("output_config.format", {"output_config": {"format": {"type": "json_schema", "schema": {}}}}),
        ("tools[1]", {"tools": [LOOK, {"type": "web_search_20250305", "name": "web_search"}]}),
        ("messages[0].content[0].source", {"messages": [{"role": "user", "content": [{"type": "image", "source": URL_SOURCE}]}]}),
        ("messages[0].content[0]", {"messages": [{"role": "user", "content": [{"type": "container_upload", "file_id": "f"}]}]}),
    ],
)
async def test_what_converse_cannot_say_is_refused(path: str, fields: dict[str, Any]) -> None:
    """With the client's path, and without asking."""
    async with bedrock() as (vendor, running):
        status, tree, _ = await told(running, model=OTHER, **fields)
    assert (400, []) == (status, vendor.came) and f"`{path}`" in tree["error"]["message"]


async def test_a_body_that_is_no_request() -> None:
    """It is the client's fault, and told as such."""
    async with bedrock() as (vendor, running):
        status, _, _ = await told(running, model=OTHER, messages=[{"role": "user", "content": [{"type": "text"}]}])
    assert (400, []) == (status, vendor.came)


CALLED = [
    ("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"reasoningContent": {"text": "Hm."}}}),
    ("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"reasoningContent": {"signature": "sig"}}}),
    ("contentBlockStop", {"contentBlockIndex": 0}),
    ("contentBlockDelta", {"contentBlockIndex": 1, "delta": {"text": "I look."}}),
    ("contentBlockStop", {"contentBlockIndex": 1}),
    ("contentBlockStart", {"contentBlockIndex": 2, "start": {"toolUse": {"toolUseId": "c1", "name": "look"}}}),
    ("contentBlockDelta", {"contentBlockIndex": 2, "delta": {"toolUse": {"input": '{"at": '}}}),
    ("contentBlockDelta", {"contentBlockIndex": 2, "delta": {"toolUse": {"input": '"it"}'}}}),
    ("contentBlockStop", {"contentBlockIndex": 2}),
]
WHOLE_CALL = [
    {"reasoningContent": {"reasoningText": {"text": "Hm.", "signature": "sig"}}},
    {"text": "I look."},
    {"toolUse": {"toolUseId": "c1", "name": "look", "input": {"at": "it"}}},
]


@pytest.mark.parametrize("stream", [False, True])
async def test_a_call_by_converse(stream: bool) -> None:
    """A client of Anthropic's gets thoughts, text and call, in its own terms."""
    async with bedrock() as (vendor, running):
        vendor.content, vendor.deltas, vendor.stops = WHOLE_CALL, CALLED, "tool_use"
        async with anthropic.AsyncAnthropic(base_url=running.url, api_key="x", max_retries=0) as client:
            asking: dict[str, Any] = FRONTS["anthropic"].body(OTHER, stream) | {"tools": [LOOK]}
            del asking["stream"]
            if stream:
                async with client.messages.stream(**asking) as events:
                    message = await events.get_final_message()
            else:
                message = await client.messages.create(**asking)
    assert ["Hm.", "I look.", {"at": "it"}] == [
        getattr(one, "thinking", None) or getattr(one, "text", None) or getattr(one, "input", None) for one in message.content
    ]
    assert ("tool_use", 9, 3) == (message.stop_reason, message.usage.input_tokens, message.usage.output_tokens)


@pytest.mark.parametrize(
    ("stops", "expected"), [("end_turn", "end_turn"), ("content_filtered", "refusal"), ("guardrail_intervened", "refusal")]
)
async def test_why_converse_stopped(stops: str, expected: str) -> None:
    """In Anthropic's words."""
    async with bedrock() as (vendor, running):
        vendor.stops = stops
        _, tree, _ = await told(running, model=OTHER)
    assert expected == tree["stop_reason"]


def conversed(*, deltas: Sequence[tuple[str, Any]] = CALLED) -> bytes:
    """A stream of Converse."""
    events = [("messageStart", {"role": "assistant"}), *deltas, ("messageStop", {"stopReason": "tool_use"}),
              ("metadata", {"usage": {"inputTokens": 9, "outputTokens": 3}})]  # fmt: skip
    return b"".join(frame(tree, event_type=name, message_type="event") for name, tree in events)


def test_converse_cut_anywhere() -> None:
    """The events are the same."""
    data = conversed()
    expected = read(Converse().reader(stream=True), [data])
    assert isinstance(expected[-1], ResponseEnd)
    assert all(expected == read(Converse().reader(stream=True), pieces) for pieces in every_cut(data, sample=40))


@pytest.mark.parametrize("payload", [{}, {"contentBlockIndex": 0}, [], b"no JSON"])
def test_a_message_of_converse_that_is_none(payload: Any) -> None:
    """It is told that the answer cannot be read."""
    data = frame(payload, event_type="contentBlockDelta", message_type="event")
    [*_, last] = read(Converse().reader(stream=True), [data])
    assert isinstance(last, Error) and "cannot be read" in last.error.message


@pytest.mark.parametrize("body", [b"{}", b"<html>", b'{"output": {"message": {"content": 1}}, "stopReason": "end_turn"}'])
def test_a_whole_reply_of_converse_that_is_none(body: bytes) -> None:
    """It is told that the answer cannot be read."""
    [*_, last] = read(Converse().reader(stream=False), [body])
    assert isinstance(last, Error) and "cannot be read" in last.error.message


# ---- frames -------------------------------------------------------------------------------------


def read(reader: Reader, pieces: Sequence[bytes]) -> list[Event]:
    """All events."""
    events = [event for piece in pieces for event in reader.feed(piece)]
    return [*events, *reader.close()] if not (events and isinstance(events[-1], ResponseEnd | Error)) else events


WHOLE = b"".join(FRAMES)
EVENTS = read(BedrockMessages().reader(stream=True), [WHOLE])


def test_frames_cut_anywhere() -> None:
    """The events are the same."""
    assert isinstance(EVENTS[-1], ResponseEnd)
    assert all(EVENTS == read(BedrockMessages().reader(stream=True), pieces) for pieces in every_cut(WHOLE, sample=60))


@given(st.lists(st.integers(0, len(WHOLE)), max_size=12).map(sorted))
def test_frames_cut_anywhere_pass_the_same(cuts: list[int]) -> None:
    """A client of Anthropic's gets the same bytes, in whatever pieces they come."""
    relay, out = BedrockMessages().relay(stream=True), b""
    for start, end in zip([0, *cuts], [*cuts, len(WHOLE)], strict=True):
        if relay.passing:
            out += relay.through(WHOLE[start:end])
        else:
            out += b"".join(event.frame.data for event in relay.feed(WHOLE[start:end]) if event.frame)
    frames = [f"event: {tree['type']}\ndata: {json.dumps(tree)}\n\n" for tree in spoken(ANSWER)]
    assert "".join(frames).encode() == out and relay.ended


@given(st.integers(0, len(WHOLE) - 1), st.integers(0, 7))
def test_a_bit_that_is_not_what_was_sent(at: int, bit: int) -> None:
    """All before it is told, then that the answer cannot be read, and nothing that was not said."""
    data = bytearray(WHOLE)
    data[at] ^= 1 << bit
    *before, last = read(BedrockMessages().reader(stream=True), [bytes(data)])
    assert isinstance(last, Error) and isinstance(last.error, UpstreamBroken)
    assert EVENTS[: len(before)] == before


@given(st.integers(0, len(WHOLE) - 1))
def test_a_stream_that_breaks_off(length: int) -> None:
    """It is never taken for a whole one."""
    events = read(BedrockMessages().reader(stream=True), [WHOLE[:length]])
    stopped = length >= len(WHOLE) - len(FRAMES[-1])  # it has said why it stopped, and that is all that is missing
    assert isinstance(events[-1], ResponseEnd if stopped else Error)


def test_a_message_longer_than_any() -> None:
    """It is not waited for."""
    prelude = struct.pack(">II", LIMIT + 1, 0)
    with pytest.raises(UpstreamBroken):
        list(Splitter().feed(prelude + struct.pack(">I", zlib.crc32(prelude))))


def test_headers_of_every_type() -> None:
    """What is no text is passed over."""
    values = [b"\x00", b"\x01", b"\x02\x01", b"\x03\x00\x01", b"\x04" + bytes(4), b"\x05" + bytes(8), b"\x06\x00\x02ab",
              b"\x07\x00\x02hi", b"\x08" + bytes(8), b"\x09" + bytes(16)]  # fmt: skip
    head = b"".join(bytes([2]) + f"h{n}".encode() + value for n, value in enumerate(values))
    prelude = struct.pack(">II", 16 + len(head), len(head))
    data = prelude + struct.pack(">I", zlib.crc32(prelude)) + head
    [message] = Splitter().feed(data + struct.pack(">I", zlib.crc32(data)))
    assert ({"h7": "hi"}, b"") == (message.headers, message.payload)


@pytest.mark.parametrize("payload", [{}, {"bytes": "!"}, {"bytes": "e30="}, b"no JSON", {"bytes": "MQ=="}, []])
def test_a_chunk_that_is_none(payload: Any) -> None:
    """It is told that the answer cannot be read."""
    data = frame(payload, event_type="chunk", message_type="event")
    [*_, last] = read(BedrockMessages().reader(stream=True), [data])
    assert isinstance(last, Error) and "cannot be read" in last.error.message


def test_frames_that_say_nothing_here() -> None:
    """A kind of event that nobody knows is passed over."""
    other = frame({}, event_type="initial-response", message_type="event")
    assert EVENTS == read(BedrockMessages().reader(stream=True), [other + WHOLE])


def test_lines_within_an_event() -> None:
    """An event written over several lines is still one."""
    trees = spoken(ANSWER)
    data = b"".join(chunked(json.dumps(tree, indent=1).encode()) for tree in trees)
    assert [type(one) for one in EVENTS] == [type(one) for one in read(BedrockMessages().reader(stream=True), [data])]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("throttlingException", "rate_limit_error"),
        ("serviceUnavailableException", "overloaded_error"),
        ("modelTimeoutException", "timeout_error"),
        ("validationException", "invalid_request_error"),
        ("internalServerException", "api_error"),
        ("modelStreamErrorException", "api_error"),
    ],
)
@pytest.mark.parametrize("begun", [0, 4])
async def test_an_exception_in_a_stream(name: str, expected: str, begun: int) -> None:
    """A client of Anthropic's gets an error as Anthropic tells one, before or after the answer has begun."""
    body = FRONTS["anthropic"].body(MODEL, True)
    async with bedrock() as (vendor, running):
        vendor.frames = [*FRAMES[:begun], excepted(name, "It went wrong.")]
        async with running.http.post(running.url + "/v1/messages", json=body) as response:
            data = (await response.read()).decode()
    last = data.strip().rpartition("data: ")[2] if begun else data
    error = json.loads(last)["error"]
    assert (expected, "It went wrong.") == (error["type"], error["message"])
    assert "message_stop" not in data


@pytest.mark.parametrize("front", ["chat", "responses", "gemini"])
async def test_an_exception_in_a_stream_reaches_every_client(front: str) -> None:
    """No end is made up."""
    one = FRONTS[front]
    async with bedrock() as (vendor, running):
        vendor.frames = [*FRAMES[:4], frame(b"", error_code="InternalFailure", error_message="Gone wrong.", message_type="error")]
        async with running.http.post(running.url + one.path(MODEL, True), json=one.body(MODEL, True)) as response:
            data = (await response.read()).decode()
    assert "Gone wrong." in data and '"finish_reason":"stop"' not in data and "response.completed" not in data


# ---- counting, lists ----------------------------------------------------------------------------


async def test_counting() -> None:
    """The model itself is asked, not the profile; its answer comes in the client's shape."""
    body = {
        "model": MODEL,
        "messages": [{"role": "user", "content": "Hi"}],
        "thinking": {"type": "enabled", "budget_tokens": 2000},
    }
    path = "/v1/messages/count_tokens"
    async with bedrock(SIGNING) as (vendor, running), running.http.post(running.url + path, json=body) as response:
        tree = await response.json()
    assert {"input_tokens": 21} == tree
    assert [f"/model/{SONNET.removeprefix('us.')}/count-tokens"] == [one.path for one in vendor.came]


async def test_a_model_whose_tokens_nobody_counts() -> None:
    """They are estimated."""
    body = {"model": MODEL, "messages": [{"role": "user", "content": "Hi"}]}
    async with bedrock() as (vendor, running):
        refusal = {"message": "The provided model doesn't support counting tokens."}
        vendor.fails("/count-tokens", 400, refusal, {"x-amzn-errortype": "ValidationException"})
        async with running.http.post(running.url + "/v1/messages/count_tokens", json=body) as response:
            estimated = response.headers.get("x-llmgw-estimated")
    assert (200, "true") == (response.status, estimated)


@pytest.mark.parametrize("env", [BEARING, SIGNING], ids=["bearer", "signed"])
async def test_models(env: dict[str, str]) -> None:
    """Models that can be asked without a profile, all pages of profiles, and what the configuration knows."""
    async with bedrock(env, behind={ARN: "claude-sonnet-4-5"}) as (_, running):
        _, body = await running.get("/v1/models")
    expected = [HAIKU, "amazon.nova-lite-v1:0", SONNET, NOVA, "global.anthropic.claude-opus-4-6-v1", ARN]
    assert [f"bedrock:{name}" for name in expected] == [one["id"] for one in body["data"]]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (SONNET, SONNET.removeprefix("us.")),
        ("global.anthropic.claude-opus-4-6-v1", "anthropic.claude-opus-4-6-v1"),
        (HAIKU, HAIKU),
        (f"arn:aws:bedrock:us-west-2:1:inference-profile/{SONNET}", SONNET.removeprefix("us.")),
        (ARN, ARN),
    ],
)
def test_whose_tokens_are_counted(name: str, expected: str) -> None:
    """An inference profile's model."""
    assert expected == counted(name)


@pytest.mark.parametrize(("name", "expected"), [(SONNET, True), (NOVA, False), (ARN, False)])
def test_what_a_name_says(name: str, expected: bool) -> None:
    """Whether it is Anthropic's."""
    assert expected is is_claude(name)


# ---- failures -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "name", "message", "expected"),
    [
        (429, "ThrottlingException", "Too many requests", (429, "Too many requests")),
        (429, "ModelNotReadyException", "Not ready", (529, "Not ready")),
        (400, "ServiceQuotaExceededException", "Quota", (429, "Quota")),
        (400, "ValidationException", "Input is too long for requested model.", (400, "prompt is too long")),
        (400, "ValidationException", "The provided model identifier is invalid.", (404, "/v1/models")),
        (400, "ValidationException", "with on-demand throughput isn\u2019t supported.", (404, "inference profile")),
        (400, "ValidationException", "messages: at least one", (400, "messages: at least one")),
        (403, "AccessDeniedException", "You don't have access to the model", (403, "Model access")),
        (403, "AccessDeniedException", "Authentication failed: make sure your API Key is valid.", (401, "AWS_BEARER_TOKEN")),
        (403, "ExpiredTokenException", "It is expired", (401, "aws sso login")),
        (404, "ResourceNotFoundException", "End of its life", (404, "/v1/models")),
        (408, "ModelTimeoutException", "Slow", (504, "Slow")),
        (424, "ModelErrorException", "Failed", (500, "Failed")),
        (500, "InternalServerException", "Oops", (500, "Oops")),
        (503, "ServiceUnavailableException", "Busy", (529, "Busy")),
    ],
)
@pytest.mark.parametrize("key", ["message", "Message"])
async def test_refusals(status: int, name: str, message: str, expected: tuple[int, str], key: str) -> None:
    """By their names and their words, in the client's shape, with what to do."""
    async with bedrock() as (vendor, running):
        vendor.fails("/invoke", status, {key: message}, {"x-amzn-errortype": f"{name}:http://internal.amazon.com/"})
        got, tree, _ = await told(running)
    assert (expected[0], "error") == (got, tree["type"]) and expected[1] in tree["error"]["message"]


async def test_a_page_instead_of_an_answer() -> None:
    """A proxy's page is told by its title."""
    async with bedrock() as (vendor, running):
        vendor.fails("/invoke", 502, "<html><title>Bad Gateway</title></html>")
        status, tree, _ = await told(running)
    assert 502 == status and "Bad Gateway" in tree["error"]["message"]


async def test_a_field_that_a_model_refuses_is_left_out() -> None:
    """It is asked again without, for a client that did not name it in Bedrock's words."""
    async with bedrock() as (vendor, running):
        refusal = {"message": "temperature: Extra inputs are not permitted"}
        vendor.fails("/invoke", 400, refusal, {"x-amzn-errortype": "ValidationException"})
        status, _ = await asked(running, "chat", MODEL, stream=False, temperature=0.5)
    assert (200, [True, False]) == (status, ["temperature" in one.json for one in vendor.came])


async def test_the_network_is_gone() -> None:
    """It is told which back-end cannot be reached."""
    async with bedrock(base_url="http://127.0.0.1:9") as (_, running):
        status, said = await asked(running, "chat", MODEL, stream=False)
    assert 503 == status and "'bedrock'" in said and "cannot be reached" in said


# ---- who asks -----------------------------------------------------------------------------------


@given(
    model=st.text("abc.-_~:/ é%", min_size=1, max_size=20).filter(lambda name: name.strip(".")),
    query=st.sampled_from(["", "?b=2&a=1", "?nextToken=a%2Bb%3D"]),
    body=st.binary(max_size=40),
    token=st.sampled_from([None, TOKEN]),
)
def test_signatures_are_botocores(model: str, query: str, body: bytes, token: str | None) -> None:
    """The same headers as AWS's own library makes, for any path, body and keys."""
    url = f"https://bedrock-runtime.us-west-2.amazonaws.com/model/{quote(model, safe=':')}/invoke{query}"
    request = botocore.awsrequest.AWSRequest("POST", url, headers={"content-type": "application/json"}, data=body)
    botocore.auth.SigV4Auth(botocore.credentials.Credentials(ACCESS, SECRET, token), "bedrock", REGION).add_auth(request)
    now = datetime.strptime(request.headers["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
    given = {"content-type": "application/json"}
    keys = Keys(ACCESS, SECRET, token)
    made = signed(keys, "bedrock", REGION, method="POST", url=url, headers=given, body=body, now=now)
    assert {name.lower(): value for name, value in request.headers.items()} == {**given, **made}


async def test_keys_that_are_good_for_a_while() -> None:
    """Their token comes along, signed."""
    async with bedrock({**SIGNING, "AWS_SESSION_TOKEN": TOKEN}) as (vendor, running):
        vendor.token = TOKEN
        assert (200, vendor.says) == await asked(running, "chat", MODEL, stream=True)


async def test_the_time_of_a_signature_is_the_gateways() -> None:
    """As its clock has it."""
    async with bedrock(SIGNING) as (vendor, running):
        await asked(running, "chat", MODEL, stream=False)
    assert "20231114T223000Z" == vendor.came[0].headers["x-amz-date"]


async def test_an_api_key_counts_more_than_a_login() -> None:
    """As in AWS's own tools."""
    async with bedrock({**SIGNING, **BEARING}) as (vendor, running):
        await asked(running, "chat", MODEL, stream=False)
    assert f"Bearer {BEARER}" == vendor.came[0].headers["authorization"]


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ({"AWS_BEARER_TOKEN_BEDROCK": "ABSKwrongwrongwrong"}, "AWS_BEARER_TOKEN_BEDROCK"),
        ({**SIGNING, "AWS_ACCESS_KEY_ID": "AKIDWRONG"}, "aws sts get-caller-identity"),
        ({**SIGNING, "AWS_SECRET_ACCESS_KEY": "wrongwrongwrong"}, "aws sts get-caller-identity"),
    ],
)
async def test_keys_that_are_refused(env: dict[str, str], expected: str) -> None:
    """It is told what to check, and no key is shown."""
    async with bedrock(env) as (_, running):
        status, tree, _ = await told(running)
    assert 401 == status and expected in tree["error"]["message"] and "wrongwrong" not in str(tree)


def profile_files(folder: Path, config: str = "", credentials: str = "") -> dict[str, str]:
    """AWS's files in a folder, and the environment that names them."""
    (folder / "config").write_text(config)
    (folder / "credentials").write_text(credentials)
    return {"AWS_CONFIG_FILE": str(folder / "config"), "AWS_SHARED_CREDENTIALS_FILE": str(folder / "credentials")}


@pytest.mark.parametrize("named", ["option", "variable"])
async def test_keys_of_a_profile(tmp_path: Path, named: str) -> None:
    """From AWS's own file, by the profile that is named."""
    env = profile_files(tmp_path, credentials=f"[work]\naws_access_key_id={ACCESS}\naws_secret_access_key={SECRET}\n")
    options = {"aws_profile": "work"} if named == "option" else {}
    async with bedrock(env if options else {**env, "AWS_PROFILE": "work"}, **options) as (vendor, running):
        assert (200, vendor.says) == await asked(running, "chat", MODEL, stream=False)


async def test_a_named_profile_counts_more_than_the_variables(tmp_path: Path) -> None:
    """As in AWS's own tools."""
    env = profile_files(tmp_path, credentials=f"[work]\naws_access_key_id={ACCESS}\naws_secret_access_key={SECRET}\n")
    other = {"AWS_ACCESS_KEY_ID": "AKIDOTHER", "AWS_SECRET_ACCESS_KEY": "other"}
    async with bedrock({**env, **other}, aws_profile="work") as (vendor, running):
        assert (200, vendor.says) == await asked(running, "chat", MODEL, stream=False)


async def test_a_profile_that_is_rewritten(tmp_path: Path) -> None:
    """Keys that AWS refuses are read anew with the next request."""
    text = "[work]\naws_access_key_id={}\naws_secret_access_key={}\n"
    env = profile_files(tmp_path, credentials=text.format("AKIDOLD", "old"))
    async with bedrock(env, aws_profile="work") as (vendor, running):
        first, _ = await asked(running, "chat", MODEL, stream=False)
        profile_files(tmp_path, credentials=text.format(ACCESS, SECRET))
        second = await asked(running, "chat", MODEL, stream=False)
    assert (403, (200, vendor.says)) == (first, second)


async def test_keys_that_end_are_renewed_once(tmp_path: Path) -> None:
    """A hundred requests at keys that end soon cause one question to the program that gives them."""
    script = tmp_path / "keys"
    script.write_text(f'#!/bin/sh\necho x >> "{tmp_path}/calls"\ncat "{tmp_path}/prints"\n')
    script.chmod(script.stat().st_mode | stat.S_IXUSR)

    def prints(access: str, lasts: timedelta) -> None:
        ends = (datetime.now(UTC) + lasts).isoformat()
        tree = {"Version": 1, "AccessKeyId": access, "SecretAccessKey": SECRET, "SessionToken": TOKEN, "Expiration": ends}
        (tmp_path / "prints").write_text(json.dumps(tree))

    def calls() -> int:
        return len((tmp_path / "calls").read_text().splitlines())

    env = profile_files(tmp_path, config=f"[profile work]\ncredential_process = {script}\n")
    async with bedrock(env, aws_profile="work") as (vendor, running):
        vendor.keys, vendor.token = {"AKIDFIRST": SECRET, "AKIDSECOND": SECRET}, TOKEN
        prints("AKIDFIRST", timedelta(minutes=5))  # botocore takes others ten minutes before
        await asked(running, "chat", MODEL, stream=False)
        before = calls()
        prints("AKIDSECOND", timedelta(hours=1))
        said = await asyncio.gather(*(asked(running, "chat", MODEL, stream=False) for _ in range(100)))
        after = calls()
    assert ({(200, vendor.says)}, 1) == (set(said), after - before)
    assert "AKIDFIRST" in vendor.came[0].headers["authorization"] and "AKIDSECOND" in vendor.came[-1].headers["authorization"]


async def test_keys_are_looked_for_once(tmp_path: Path) -> None:
    """Twenty first requests cause one question to the program that gives them."""
    ends = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    printed = json.dumps({"Version": 1, "AccessKeyId": ACCESS, "SecretAccessKey": SECRET, "Expiration": ends})
    script = tmp_path / "keys"
    script.write_text(f"#!/bin/sh\necho x >> '{tmp_path}/calls'\necho '{printed}'\n")
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    env = profile_files(tmp_path, config=f"[profile work]\ncredential_process = {script}\n")
    async with bedrock(env, aws_profile="work") as (vendor, running):
        said = await asyncio.gather(*(asked(running, "chat", MODEL, stream=False) for _ in range(20)))
    assert ({(200, vendor.says)}, "x\n") == (set(said), (tmp_path / "calls").read_text())


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ("", "ProfileNotFound"),
        ("[profile work]\ncredential_process = /bin/false\n", "CredentialRetrievalError"),
        ("[profile work\nbroken", "ConfigParseError"),
    ],
)
async def test_a_profile_that_gives_no_keys(tmp_path: Path, config: str, expected: str) -> None:
    """It is told what happened and what to run, for that profile."""
    async with bedrock(profile_files(tmp_path, config), aws_profile="work") as (vendor, running):
        status, tree, _ = await told(running)
    message = tree["error"]["message"]
    assert (401, []) == (status, vendor.came)
    assert expected in message and "aws sso login --profile work" in message and str(tmp_path) not in message


async def test_no_keys_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All ways to give some are told."""
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    async with bedrock(profile_files(tmp_path)) as (_, running):
        status, tree, _ = await told(running)
    assert 401 == status and all(way in tree["error"]["message"] for way in ("AWS_BEARER_TOKEN_BEDROCK", "aws configure"))


async def test_without_botocore(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told before anything is asked; a bearer token and exported keys need none."""
    monkeypatch.setattr("llmgw_bedrock.chain.find_spec", lambda name: None)
    async with bedrock(profile_files(tmp_path)) as (_, running):
        [state] = running.server.gateway.backends["bedrock"].credentials
    async with bedrock(SIGNING) as (vendor, running):
        said = await asked(running, "chat", MODEL, stream=False)
    assert "pip install 'llmgw[aws]'" in state.problem and (200, vendor.says) == said


# ---- where --------------------------------------------------------------------------------------


def made(toybox: Toybox, env: dict[str, str], **options: Any) -> Bedrock:
    """The back-end that these options give."""
    [one] = Bedrock(**options).backends(toybox.gateway(env=env)) or ()
    assert isinstance(one, Bedrock)
    return one


@pytest.mark.parametrize(
    ("env", "options", "expected"),
    [
        ({"AWS_REGION": "eu-west-1"}, {}, "https://bedrock-runtime.eu-west-1.amazonaws.com"),
        ({"AWS_DEFAULT_REGION": "eu-west-1"}, {"region": "us-east-1"}, "https://bedrock-runtime.us-east-1.amazonaws.com"),
        ({"AWS_REGION": "cn-north-1"}, {}, "https://bedrock-runtime.cn-north-1.amazonaws.com.cn"),
        ({"AWS_REGION": "r-1", "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": "https://vpc.example"}, {}, "https://vpc.example"),
    ],
)
def test_where_it_is(toybox: Toybox, env: dict[str, str], options: dict[str, str], expected: str) -> None:
    """The configuration's, the environment's, else AWS's own in the region."""
    assert expected == made(toybox, env, **options).base_url


def test_the_region_of_a_profile(toybox: Toybox, tmp_path: Path) -> None:
    """Counts where nothing else names one."""
    env = profile_files(tmp_path, config="[profile work]\nregion = eu-north-1\n")
    assert "eu-north-1" == made(toybox, env, aws_profile="work").region


def test_without_a_region_the_gateway_does_not_start(toybox: Toybox, tmp_path: Path) -> None:
    """It is told which variable is missing, and where to say it instead."""
    with pytest.raises(ConfigError, match=r"AWS_REGION is not set.* @ backends\.bedrock\.region"):
        made(toybox, profile_files(tmp_path))


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        (BEARING, "key from AWS_BEARER_TOKEN_BEDROCK"),
        (SIGNING, "keys from AWS_ACCESS_KEY_ID"),
        ({"AWS_PROFILE": "work"}, "AWS profile work"),
    ],
)
def test_what_people_hear_of_the_login(toybox: Toybox, env: dict[str, str], expected: str) -> None:
    """Where it comes from, never what it is."""
    key = Secret("AWS_BEARER_TOKEN_BEDROCK", env.get("AWS_BEARER_TOKEN_BEDROCK"))
    one = made(toybox, {"AWS_REGION": REGION, **env}, api_key=key)
    assert expected == one.credential_state
    assert SECRET not in repr(one) and BEARER not in repr(one)
