"""The official SDK understands what this dialect writes."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx2 as httpx  # what the SDK speaks through
import openai
import pytest
from chat import STREAM, WHOLE, bare, write
from chat_recordings import events_of, failed, streams, touched, wholes
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from recordings import completions

from llmgw.errors import GatewayError, ModelNotFound, TooMany, Unauthorized, UpstreamBroken
from llmgw.events import Error, Event, fold, unfold
from llmgw.model import Text, ToolCall
from llmgw_dialects.openai_chat import DIALECT

ASKED: Any = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


def client(answer: Callable[[], httpx.Response]) -> openai.OpenAI:
    """An SDK whose every request is answered so."""
    transport = httpx.MockTransport(lambda _: answer())
    return openai.OpenAI(api_key="k", base_url="http://x/v1", max_retries=0, http_client=httpx.Client(transport=transport))


def streamed(data: bytes) -> ChatCompletion:
    """What the SDK's own accumulator makes of a stream."""
    answer = httpx.Response(200, content=data, headers={"content-type": "text/event-stream"})
    with client(lambda: answer) as sdk, sdk.chat.completions.stream(**ASKED) as stream:
        return stream.get_final_completion()


def plain(events: list[Event]) -> tuple[str, list[tuple[str, str]]]:
    parts = fold(events).choices[0].parts
    text = "".join(part.text for part in parts if isinstance(part, Text))
    return text, [(part.name, part.arguments) for part in parts if isinstance(part, ToolCall) and part.kind == "function"]


def gist(completion: ChatCompletion) -> tuple[str, list[tuple[str, str]]]:
    message = completion.choices[0].message
    calls = [(call.function.name, call.function.arguments) for call in message.tool_calls or () if call.type == "function"]
    return message.content or "", calls


def test_streams_of_ours_are_accumulated_by_the_sdk() -> None:
    """A reply written as a stream is put together by the SDK's accumulator to the same text and calls."""
    for one in [*wholes()[::3], *streams()[::3]]:
        events = events_of(one)
        if failed(events) or len(fold(events).choices) != 1 or fold(events).choices[0].stop.kind == "max_tokens":  # type: ignore[union-attr]
            continue  # for a reply that hit its limit the SDK raises by design
        reply = fold(events)
        for written in (write(STREAM, unfold(reply)), write(STREAM, bare(events))):
            completion = streamed(written)
            legacy = any(getattr(part, "name", None) and b'"function_call"' in written for part in reply.choices[0].parts)
            expected = plain(events)
            assert (expected[0], [] if legacy else expected[1]) == gist(completion), one.name
            assert "assistant" == completion.choices[0].message.role, one.name


def test_chunks_and_bodies_are_of_the_sdks_types() -> None:
    """Every chunk and body of ours validates against the SDK's models."""
    for one in [*wholes()[::3], *streams()[::3]]:
        events = events_of(one)
        if failed(events):
            continue
        ChatCompletion.model_validate(ours(json.loads(write(WHOLE, bare(events)))))
        for line in write(STREAM, bare(events)).split(b"\n\n"):
            if line.startswith(b"data: {"):
                ChatCompletionChunk.model_validate(ours(json.loads(line[6:])))


def ours(tree: dict[str, Any]) -> dict[str, Any]:
    """Without the tier and without annotations of files, for which vendors have words of their own; we pass them on."""
    for choice in tree["choices"]:
        for message in (choice.get("message") or {}, choice.get("delta") or {}):
            if any(entry.get("type") != "url_citation" for entry in message.get("annotations") or ()):
                del message["annotations"]
    return {key: value for key, value in tree.items() if key != "service_tier"}


def test_changed_streams_are_accumulated_by_the_sdk() -> None:
    """A provider's stream written anew, chunk by chunk, is still one that the SDK puts together."""
    for one in list(completions("openai-chat", "chat.completions", stream=True)):
        if not one.name.startswith("openai--"):
            continue
        events = events_of(one)
        if failed(events) or len(fold(events).choices) != 1 or fold(events).choices[0].stop.kind == "max_tokens":  # type: ignore[union-attr]
            continue
        assert plain(events) == gist(streamed(write(STREAM, touched(events)))), one.name


@pytest.mark.parametrize(("error", "kind"), [
    (Unauthorized("no"), openai.AuthenticationError), (ModelNotFound("no"), openai.NotFoundError),
    (TooMany("no"), openai.RateLimitError),
    (UpstreamBroken("no"), openai.InternalServerError),
])  # fmt: skip
def test_errors_are_raised_as_the_sdks_own(error: GatewayError, kind: type[openai.APIStatusError]) -> None:
    """From our error bodies the SDK raises its exceptions, with message and code."""
    answer = httpx.Response(
        DIALECT.error_status(error), content=DIALECT.write_error(error), headers={"content-type": "application/json"}
    )
    with client(lambda: answer) as sdk, pytest.raises(kind, match="no") as caught:
        sdk.chat.completions.create(**ASKED)
    assert json.loads(DIALECT.write_error(error))["error"]["code"] == caught.value.code


def test_an_error_in_a_stream_is_raised_by_the_sdk() -> None:
    """From an error frame of ours the SDK raises."""
    data = write(STREAM, [Error(error=UpstreamBroken("broke off"))])
    answer = httpx.Response(200, content=data, headers={"content-type": "text/event-stream"})
    with client(lambda: answer) as sdk, pytest.raises(openai.APIError, match="broke off"):
        list(sdk.chat.completions.create(**ASKED, stream=True))


def test_lists_of_models_are_read_by_the_sdk() -> None:
    """The SDK lists our models."""
    answer = httpx.Response(200, content=DIALECT.write_models(DIALECT.read_models(b'["a", "b"]')))
    answer.headers["content-type"] = "application/json"
    with client(lambda: answer) as sdk:
        assert ["a", "b"] == [model.id for model in sdk.models.list()]
