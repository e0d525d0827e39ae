"""The official SDK understands what this dialect writes."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx2 as httpx  # what the SDK speaks through
import openai
import pytest
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter
from responses import STREAM, WHOLE, bare, block, foreign, read, reply, request, write
from responses_recordings import distinct, events_of, failed, streams, touched, wholes

from llmgw.errors import GatewayError, ModelNotFound, TooMany, Unauthorized, UpstreamBroken
from llmgw.events import Error, Event, ResponseStart, UsageUpdate, fold, unfold
from llmgw.model import Reasoning, Text, ToolCall
from llmgw_dialects.openai_responses import DIALECT

pytestmark = pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")  # providers are ahead of the SDK
ASKED: Any = {"model": "m", "input": "hi"}
EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)


def client(answer: Callable[[], httpx.Response]) -> openai.OpenAI:
    """An SDK whose every request is answered so."""
    transport = httpx.MockTransport(lambda _: answer())
    return openai.OpenAI(api_key="k", base_url="http://x/v1", max_retries=0, http_client=httpx.Client(transport=transport))


def streamed(data: bytes) -> Any:
    """What the SDK's own accumulator makes of a stream."""
    answer = httpx.Response(200, content=data, headers={"content-type": "text/event-stream"})
    with client(lambda: answer) as sdk, sdk.responses.stream(**ASKED) as stream:
        return stream.get_final_response()


def plain(events: list[Event]) -> tuple[str, list[tuple[str, str, str]], list[str]]:
    parts = fold(events).choices[0].parts
    text = "".join(part.text for part in parts if isinstance(part, Text))
    calls = [(part.call_id, part.name, part.arguments) for part in parts if isinstance(part, ToolCall) and part.kind != "builtin"]
    return text, calls, ["".join(part.summary) for part in parts if isinstance(part, Reasoning)]


def gist(response: Any) -> tuple[str, list[tuple[str, str, str]], list[str]]:
    calls = [
        (item.call_id, item.name, item.arguments if item.type == "function_call" else item.input)
        for item in response.output
        if item.type in ("function_call", "custom_tool_call")
    ]
    thoughts = ["".join(part.text for part in item.summary) for item in response.output if item.type == "reasoning"]
    return response.output_text, calls, thoughts


def is_complete(events: list[Event]) -> bool:
    stop = fold(events).choices[0].stop
    return stop is not None and stop.raw == "completed"


def test_streams_of_ours_are_accumulated_by_the_sdk() -> None:
    """A reply written as a stream is put together by the SDK's accumulator to the same texts, calls and thoughts."""
    for one in [*wholes()[::4], *streams()[::4]]:
        events = events_of(one)
        if failed(events) or not is_complete(events) or one.endpoint == "responses.compact":
            continue  # for a reply that is not complete the SDK raises by design
        for written in (write(STREAM, unfold(distinct(fold(events)))), write(STREAM, bare(events))):
            assert plain(events) == gist(streamed(written)), one.name


def test_events_and_responses_are_of_the_sdks_types() -> None:
    """Every event and every response of ours validates against the SDK's models."""
    for one in wholes()[::4]:
        events = [event for event in events_of(one) if not isinstance(event, UsageUpdate)]  # older ones lack what is new in it
        if one.endpoint == "responses.compact" or not one.name.startswith("openai--"):
            continue  # others have items that the SDK does not know
        asked = request(tools=[{"type": "web_search"}], temperature=0.5, metadata={"a": "b"}, instructions="be brief")
        Response.model_validate(json.loads(write(asked, bare(events))))
        for line in write(STREAM, unfold(fold(events))).split(b"\n\n"):
            if line:
                EVENT.validate_python(json.loads(line.partition(b"\ndata: ")[2]))


def test_changed_streams_are_accumulated_by_the_sdk() -> None:
    """A provider's stream written anew, frame by frame, is still one that the SDK puts together."""
    for one in streams():
        events = events_of(one)
        if failed(events) or not is_complete(events) or not one.name.startswith(("openai--", "azure--", "openai-codex--")):
            continue
        if "starting-after" in one.name or "id-rotation" in one.name:
            continue  # it begins in the middle; its ids change, which the SDK refuses
        if events[0] != ResponseStart() and isinstance(events[0], ResponseStart):
            assert plain(events) == gist(streamed(write(STREAM, touched(events)))), one.name


def test_interleaved_calls_of_another_dialect_are_accumulated_by_the_sdk() -> None:
    """Two calls whose arguments come by turns, with text before and behind them, each get all of their own."""
    one = block(1, "tool_call", '{"a":', "1}", call_id="c1", name="f")
    two = block(2, "tool_call", '{"b":', "2}", call_id="c2", name="g")
    mixed = [one[0], two[0], one[1], two[1], two[2], one[2], two[3], one[3]]
    events = foreign(*reply(block(0, "text", "Look "), mixed, block(3, "text", "done"), stop="tool_use"))
    assert ("Look done", [("c1", "f", '{"a":1}'), ("c2", "g", '{"b":2}')], []) == gist(streamed(write(STREAM, events)))
    assert gist(Response.model_validate(json.loads(write(WHOLE, events)))) == gist(streamed(write(STREAM, events)))


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
        sdk.responses.create(**ASKED)
    assert json.loads(DIALECT.write_error(error))["error"]["code"] == caught.value.code


def test_a_stream_that_fails_is_told_by_the_sdk() -> None:
    """The SDK yields the response that failed, with code and message, and what was said until then."""
    events = [*reply(block(0, "text", "half"))[:3], Error(error=UpstreamBroken("broke off"))]
    answer = httpx.Response(200, content=write(STREAM, events), headers={"content-type": "text/event-stream"})
    with client(lambda: answer) as sdk:
        last: Any = list(sdk.responses.create(**ASKED, stream=True))[-1]
    assert "response.failed" == last.type
    assert ("server_error", "broke off") == (last.response.error.code, last.response.error.message)
    assert "half" == last.response.output_text


def test_lists_of_models_and_counts_are_read_by_the_sdk() -> None:
    """The SDK lists our models, and reads our count of tokens."""
    answer = httpx.Response(200, content=DIALECT.write_models(DIALECT.read_models(b'["a", "b"]')))
    answer.headers["content-type"] = "application/json"
    with client(lambda: answer) as sdk:
        assert ["a", "b"] == [model.id for model in sdk.models.list()]
    counted = httpx.Response(200, content=DIALECT.write_count(7), headers={"content-type": "application/json"})
    with client(lambda: counted) as sdk:
        assert 7 == sdk.responses.input_tokens.count(**ASKED).input_tokens


def test_the_sdks_own_stream_is_read_back() -> None:
    """What the writer tells the SDK is what the reader reads of it."""
    events = reply(
        block(0, "reasoning", "hm"), block(1, "text", "Grüße \u2028 🙂"), block(2, "tool_call", "{}", call_id="c", name="f")
    )
    data = write(STREAM, events)
    assert plain(events) == plain(read(data)) == gist(streamed(data))
