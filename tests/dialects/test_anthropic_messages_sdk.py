"""The official SDK understands what this dialect writes."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import anthropic
import httpx2 as httpx  # what the SDK speaks through
import pytest
from anthropic.types import Message as SdkMessage
from messages import STREAM, WHOLE, bare, touched, write
from messages_recordings import events_of, failed, streams, wholes

from llmgw.errors import (
    Deadline,
    Forbidden,
    GatewayError,
    ModelNotFound,
    ShuttingDown,
    TooLarge,
    TooMany,
    Unauthorized,
    UpstreamBroken,
)
from llmgw.events import Error, ResponseStart, fold, unfold
from llmgw_dialects.anthropic_messages import DIALECT

ASKED: Any = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}


def client(answer: Callable[[], httpx.Response]) -> anthropic.Anthropic:
    """An SDK whose every request is answered so."""
    transport = httpx.MockTransport(lambda _: answer())
    return anthropic.Anthropic(api_key="k", base_url="http://x", max_retries=0, http_client=httpx.Client(transport=transport))


def streamed(data: bytes) -> SdkMessage:
    """What the SDK's own accumulator makes of a stream."""
    answer = httpx.Response(200, content=data, headers={"content-type": "text/event-stream"})
    with client(lambda: answer) as sdk, sdk.messages.stream(**ASKED) as stream:
        return stream.get_final_message()


def told(message: SdkMessage) -> Any:
    """What a message says."""
    content = []
    for block in message.model_dump(warnings=False)["content"]:  # some blocks are of a beta
        left = {key: value for key, value in block.items() if value not in (None, []) and key != "parsed_output"}
        content.append(left)
    usage = message.usage
    return content, message.stop_reason, message.stop_sequence, message.id, message.model, usage.input_tokens, usage.output_tokens


def whole(data: bytes) -> SdkMessage:
    """What the SDK makes of a body."""
    answer = httpx.Response(200, content=data, headers={"content-type": "application/json"})
    with client(lambda: answer) as sdk:
        return sdk.messages.create(**ASKED)


def test_streams_written_anew_are_accumulated_by_the_sdk() -> None:
    """A provider's stream, written anew frame by frame, or from events alone, is the same message to the SDK."""
    for one in streams()[::2]:
        events = events_of(one)
        if failed(events) or b'"compaction"' in one.body or b'"fallback"' in one.body:
            continue  # types of a beta, which this accumulator does not grow
        expected = told(streamed(one.body))
        assert expected == told(streamed(write(STREAM, touched(events)))), one.name
        assert expected == told(streamed(write(STREAM, bare(events)))), one.name


def test_a_stream_is_the_same_message_as_a_body() -> None:
    """A reply written as a stream is put together by the SDK's accumulator to what it reads from the body."""
    for one in [*wholes()[::4], *streams()[1::4]]:
        events = events_of(one)
        if failed(events) or b'"compaction"' in one.body:
            continue
        for given in (events, touched(events), bare(events), unfold(fold(events))):
            assert told(whole(write(WHOLE, given))) == told(streamed(write(STREAM, given))), one.name


def test_bodies_are_of_the_sdks_types() -> None:
    """Every body of ours that is built from events alone validates against the SDK's models."""
    for one in [*wholes(), *streams()]:
        events = events_of(one)
        old = b"web_search_requests" in one.body and b"web_fetch_requests" not in one.body  # of before there were fetches
        beta = any(word in one.body for word in (b'"compaction"', b'"fallback"', b"advisor", b"mcp_"))
        if not (failed(events) or old or beta):
            SdkMessage.model_validate(json.loads(write(WHOLE, bare(events))))


@pytest.mark.parametrize(("error", "kind", "status"), [
    (Unauthorized("no"), anthropic.AuthenticationError, 401), (Forbidden("no"), anthropic.PermissionDeniedError, 403),
    (ModelNotFound("no"), anthropic.NotFoundError, 404), (TooMany("no"), anthropic.RateLimitError, 429),
    (TooLarge("no"), anthropic.RequestTooLargeError, 413), (UpstreamBroken("no"), anthropic.InternalServerError, 502),
    (ShuttingDown("no"), anthropic.OverloadedError, 529), (Deadline("no"), anthropic.DeadlineExceededError, 504),
])  # fmt: skip
def test_errors_are_raised_as_the_sdks_own(error: GatewayError, kind: type[anthropic.APIStatusError], status: int) -> None:
    """From our error bodies the SDK raises its exceptions, with our message."""
    answer = httpx.Response(
        DIALECT.error_status(error), content=DIALECT.write_error(error), headers={"content-type": "application/json"}
    )
    with client(lambda: answer) as sdk, pytest.raises(kind, match="no") as caught:
        sdk.messages.create(**ASKED)
    assert status == caught.value.status_code
    assert json.loads(DIALECT.write_error(error)) == caught.value.body


def test_an_error_in_a_stream_is_raised_by_the_sdk() -> None:
    """From an error frame of ours, behind whatever came before it, the SDK raises."""
    data = write(STREAM, [ResponseStart(id="msg_1", model="m"), Error(error=UpstreamBroken("broke off"))])
    answer = httpx.Response(200, content=data, headers={"content-type": "text/event-stream"})
    with client(lambda: answer) as sdk, pytest.raises(anthropic.APIStatusError, match="broke off"):
        list(sdk.messages.create(**ASKED, stream=True))


def test_lists_of_models_are_read_by_the_sdk() -> None:
    """The SDK lists our models, and reads one."""
    models = DIALECT.read_models(b'["a", "b"]')
    answer = httpx.Response(200, content=DIALECT.write_models(models), headers={"content-type": "application/json"})
    with client(lambda: answer) as sdk:
        assert ["a", "b"] == [model.id for model in sdk.models.list()]
    one = httpx.Response(200, content=DIALECT.write_model(models[0]), headers={"content-type": "application/json"})
    with client(lambda: one) as sdk:
        assert ("a", "a", 0.0) == ((found := sdk.models.retrieve("a")).id, found.display_name, found.created_at.timestamp())


def test_a_count_is_read_by_the_sdk() -> None:
    """The SDK reads our count of tokens."""
    answer = httpx.Response(200, content=DIALECT.write_count(41), headers={"content-type": "application/json"})
    with client(lambda: answer) as sdk:
        assert 41 == sdk.messages.count_tokens(model="m", messages=ASKED["messages"]).input_tokens
