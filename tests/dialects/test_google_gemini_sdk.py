"""The official SDK understands what this dialect writes, and this dialect what the SDK writes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import cache
from typing import Any

import httpx2 as httpx  # what the SDK speaks through
import pytest
from attrs import evolve
from gemini import HIDDEN, STREAM, WHOLE, bare, head, write
from gemini_recordings import events_of, replies, touched
from google import genai
from google.genai import errors, types
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from recordings import Recording

from llmgw.errors import GatewayError, InvalidField, ModelNotFound, TooMany, Unauthorized, UpstreamBroken
from llmgw.events import (
    BlockDelta,
    BlockMeta,
    BlockStart,
    BlockStop,
    Error,
    Event,
    ResponseEnd,
    ResponseStart,
    Stop,
    StopReason,
    Usage,
    UsageUpdate,
    fold,
)
from llmgw.model import Carrier, Image, ModelInfo, Prompt, Reasoning, ReasoningConfig, Request, Text, ToolCall, ToolResult
from llmgw_dialects import envelope
from llmgw_dialects.google_gemini import DIALECT

Asked = list[httpx.Request]


Answer = Callable[[httpx.Request], httpx.Response]


@cache
def _sdk() -> tuple[genai.Client, list[Answer]]:
    """One SDK for all, for it takes long to make; it is answered by the function in the list."""
    answers: list[Answer] = []
    transport = httpx.MockTransport(lambda request: answers[-1](request))
    options = types.HttpOptions(base_url="http://x", httpx_client=httpx.Client(transport=transport))
    return genai.Client(api_key="k", http_options=options), answers


def client(answer: Callable[[], httpx.Response], asked: Asked | None = None) -> genai.Client:
    """An SDK whose every request is answered so, from now on."""

    def answered(request: httpx.Request) -> httpx.Response:
        if asked is not None:
            asked.append(request)
        return answer()

    sdk, answers = _sdk()
    answers[:] = [answered]
    return sdk


def streamed(data: bytes) -> list[types.GenerateContentResponse]:
    """What the SDK makes of a stream."""
    sdk = client(lambda: httpx.Response(200, content=data, headers={"content-type": "text/event-stream"}))
    return list(sdk.models.generate_content_stream(model="m", contents="hi"))


def whole(data: bytes) -> types.GenerateContentResponse:
    """What the SDK makes of a body."""
    sdk = client(lambda: httpx.Response(200, content=data, headers={"content-type": "application/json"}))
    return sdk.models.generate_content(model="m", contents="hi")


Gist = tuple[str, str, list[tuple[str, Any]], str]


def gist(responses: list[types.GenerateContentResponse]) -> Gist:
    """Text, thoughts, calls and end of the first candidate, as the SDK has them."""
    parts = [
        part for one in responses for candidate in (one.candidates or []) if not candidate.index
        for part in ((candidate.content.parts if candidate.content else None) or [])
    ]  # fmt: skip
    ends = [one for response in responses for candidate in response.candidates or [] if (one := candidate.finish_reason)]
    return (
        "".join(part.text or "" for part in parts if not part.thought),
        "".join(part.text or "" for part in parts if part.thought),
        [(part.function_call.name or "", part.function_call.args or {}) for part in parts if part.function_call],
        ends[0].value if ends else "",
    )


def plain(events: list[Event], *, thoughts: bool = True) -> Gist:
    """The same, as the events have it."""
    choice = next((one for one in fold(events).choices if one.index == 0), None)
    parts = choice.parts if choice is not None else ()
    calls = [(part.name, json.loads(part.arguments or "{}")) for part in parts if isinstance(part, ToolCall)]
    stop = choice.stop.raw if choice is not None and choice.stop is not None else ""
    return (
        "".join(part.text for part in parts if isinstance(part, Text)),
        "".join("".join(part.summary) for part in parts if isinstance(part, Reasoning)) if thoughts else "",
        calls,
        stop or "",
    )


def numbered(one: Recording) -> bool:
    """Whether a client asked for numbers instead of words, which the SDK never does."""
    return re.search(rb'"(?:modality|finishReason)":\s*\d', one.body) is not None


def test_streams_of_ours_are_read_by_the_sdk() -> None:
    """A reply written as a stream, from scratch or chunk by chunk anew, is read by the SDK to the same text and calls."""
    for one in [*replies("sse")[::3], *replies("whole")[::4]]:
        events = events_of(one)
        if "promptFeedback" in str(plain(events)[3]) or numbered(one):
            continue
        assert plain(events) == gist(streamed(write(STREAM, bare(events)))), one.name
        if one.stream:
            assert plain(events) == gist(streamed(write(STREAM, touched(events)))), one.name


def test_bodies_of_ours_are_read_by_the_sdk() -> None:
    """A reply written as a body is read by the SDK to the same text, calls and counts."""
    for one in [*replies("sse")[::3], *replies("whole")[::3], *replies("array")]:
        events = events_of(one)
        if "promptFeedback" in str(plain(events)[3]) or numbered(one):
            continue
        response = whole(write(WHOLE, bare(events)))
        assert plain(events) == gist([response]), one.name
        usage = fold(events).usage
        if usage is not None and usage.output_total is not None and usage.input_total is not None:
            told = response.usage_metadata
            assert told is not None
            assert usage.input_total == (told.prompt_token_count or 0) + (told.tool_use_prompt_token_count or 0), one.name


# ---- replies of other dialects ------------------------------------------------------------------

words = st.text(st.characters(codec="utf-8"), max_size=12) | st.sampled_from(["🐝", "a\u2028b", '"', "\\", "\r\n"])
payloads = st.text("abcdef0123", min_size=1, max_size=9)
kinds = st.sampled_from(["signature", "encrypted_content"])
carriers = st.none() | st.builds(Carrier, provider=st.sampled_from(["anthropic", "openai"]), kind=kinds, payload=payloads)
big = st.dictionaries(words, st.integers(-(2**80), 2**80) | words | st.floats(allow_nan=False, allow_infinity=False), max_size=3)


@st.composite
def foreign(draw: st.DrawFn) -> list[Event]:
    """Events as another provider's reply gives them: thoughts, text, then calls whose pieces come mixed."""
    events: list[Event] = [ResponseStart(id="id", model="other")]
    index = 0
    for _ in range(draw(st.integers(0, 3))):
        kind: Any = draw(st.sampled_from(["text", "reasoning"]))
        channel: Any = "text" if kind == "text" else draw(st.sampled_from(["reasoning_raw", "reasoning_summary"]))
        events.append(BlockStart(index=index, kind=kind))
        events += [BlockDelta(index=index, channel=channel, fragment=draw(words)) for _ in range(draw(st.integers(0, 3)))]
        carrier = draw(carriers) if kind == "reasoning" else None
        if carrier is not None:
            events.append(BlockMeta(index=index, what="carrier", value=carrier))
        events.append(BlockStop(index=index))
        index += 1
    calls = [json.dumps(draw(big), ensure_ascii=draw(st.booleans())) for _ in range(draw(st.integers(0, 3)))]
    pieces: list[list[Event]] = []
    for number, text in enumerate(calls, index):
        start = BlockStart(index=number, kind="tool_call", meta={"call_id": f"c{number}", "name": f"f{number}"})
        cut = draw(st.integers(0, len(text)))
        fragments = [BlockDelta(index=number, channel="args", fragment=part) for part in (text[:cut], text[cut:])]
        events.append(start)
        pieces.append([*fragments, BlockStop(index=number)])
    while any(pieces):
        events.append(draw(st.sampled_from([one for one in pieces if one])).pop(0))
    events.append(UsageUpdate(usage=Usage(input_total=7, output_total=9, reasoning=2)))
    events.append(Stop(reason=StopReason("tool_use" if calls else "end", raw="whatever")))
    return [*events, ResponseEnd()]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(foreign())
def test_replies_of_others_reach_the_sdk_whole(events: list[Event]) -> None:
    """Whatever another provider said, and in whatever order its calls grew, the SDK has the same of it, streamed or whole."""
    text, thoughts, calls, _ = plain(events)
    reply = fold(events)
    raw = "".join("".join((*part.summary, *part.raw_text)) for part in reply.choices[0].parts if isinstance(part, Reasoning))
    for asked, shown in ((STREAM, raw), (HIDDEN, "")):
        data = write(asked, events)
        responses = streamed(data)
        assert (text, shown, calls, "STOP") == gist(responses)
        assert {"id"} == {one.response_id for one in responses} and {"other"} == {one.model_version for one in responses}
        counts = responses[-1].usage_metadata
        assert counts is not None and (7, 7, 2, 16) == (
            counts.prompt_token_count, counts.candidates_token_count, counts.thoughts_token_count, counts.total_token_count
        )  # fmt: skip
        assert gist([whole(write(evolve(asked, stream=False), events))]) == gist(responses)
        assert sealed_in(responses) == [
            (part.carrier.payload, "".join((*part.summary, *part.raw_text)))
            for part in reply.choices[0].parts if isinstance(part, Reasoning) and part.carrier is not None
        ]  # fmt: skip
    assert thoughts in raw or len(thoughts) <= len(raw)


def sealed_in(responses: list[types.GenerateContentResponse]) -> list[tuple[str, str]]:
    """The payloads and thoughts that came in signatures."""
    found = []
    for response in responses:
        for part in (response.candidates and response.candidates[0].content and response.candidates[0].content.parts) or []:
            if part.thought_signature:
                opened = envelope.opened(part.thought_signature.decode())
                assert opened is not None and opened.carrier is not None
                found.append((opened.carrier.payload, opened.text or ""))
    return found


# ---- a conversation -----------------------------------------------------------------------------


def test_a_thought_comes_back_with_the_next_request() -> None:
    """What another provider sealed in its thought comes back through the SDK's own history, before the call it led to."""
    carrier = Carrier(provider="anthropic", kind="signature", payload="sig+/=")
    events: list[Event] = [
        ResponseStart(id="r", model="claude"),
        BlockStart(index=0, kind="reasoning"),
        BlockDelta(index=0, channel="reasoning_summary", fragment="I must look."),
        BlockMeta(index=0, what="carrier", value=carrier),
        BlockStop(index=0),
        BlockStart(index=1, kind="tool_call", meta={"call_id": "toolu_1", "name": "look"}),
        BlockDelta(index=1, channel="args", fragment='{"n":1}'),
        BlockStop(index=1),
        Stop(reason=StopReason("tool_use")),
        ResponseEnd(),
    ]
    asked: Asked = []
    answers = iter([write(HIDDEN, events), write(HIDDEN, events)])
    sdk = client(lambda: httpx.Response(200, content=next(answers), headers={"content-type": "text/event-stream"}), asked)
    chat = sdk.chats.create(model="m")
    list(chat.send_message_stream("go"))
    result = types.Part.from_function_response(name="look", response={"output": "seen"})
    assert result.function_response is not None
    result.function_response.id = "toolu_1"
    list(chat.send_message_stream([result]))
    request = DIALECT.read_request(head("streamGenerateContent", alt="sse"), asked[-1].content)
    said = request.prompt.items[1]
    thought, call = said.parts[-2:]  # type: ignore[attr-defined]
    assert isinstance(thought, Reasoning) and (thought.summary, thought.carrier) == (("I must look.",), carrier)
    assert isinstance(call, ToolCall) and (call.call_id, call.arguments, call.carrier) == ("toolu_1", '{"n":1}', None)
    answer = next(item for item in request.prompt.items if isinstance(item, ToolResult))
    assert (answer.call_id, answer.parts) == ("toolu_1", (Text("seen"),))


def test_requests_of_the_sdk_are_understood() -> None:
    """A request as the SDK writes it, in both spellings at once, is read as what it means."""
    asked: Asked = []
    empty = write(WHOLE, [ResponseStart(), Stop(reason=StopReason("end")), ResponseEnd()])
    sdk = client(lambda: httpx.Response(200, content=empty), asked)
    sdk.models.generate_content(
        model="m",
        contents=["hi", types.Part.from_bytes(data=b"abc", mime_type="image/png")],
        config=types.GenerateContentConfig(
            system_instruction="be brief",
            temperature=0.5,
            top_k=3,
            stop_sequences=["x"],
            max_output_tokens=9,
            thinking_config=types.ThinkingConfig(include_thoughts=True, thinking_level=types.ThinkingLevel.HIGH),
            response_mime_type="application/json",
            response_json_schema={"type": "object"},
            tool_config=types.ToolConfig(
                function_calling_config=types.FunctionCallingConfig(
                    mode=types.FunctionCallingConfigMode.ANY, allowed_function_names=["f"]
                )
            ),
            tools=[
                types.Tool(
                    function_declarations=[
                        types.FunctionDeclaration(name="f", description="d", parameters_json_schema={"type": "object"}),
                        types.FunctionDeclaration(
                            name="g",
                            parameters=types.Schema(
                                type=types.Type.OBJECT,
                                properties={"a_b": types.Schema(type=types.Type.STRING, nullable=True)},
                            ),
                        ),
                    ]
                ),
                types.Tool(google_search=types.GoogleSearch()),
            ],
        ),
    )
    prompt: Prompt = DIALECT.read_request(head(), asked[0].content).prompt
    assert ["Instruction", "Message"] == [type(item).__name__ for item in prompt.items]
    assert isinstance(prompt.items[1].parts[1], Image)  # type: ignore[attr-defined]
    sampling = prompt.sampling
    assert (0.5, 3, ("x",), 9) == (sampling.temperature, sampling.top_k, sampling.stop, sampling.max_output)
    assert ReasoningConfig(effort="high", show="auto") == prompt.reasoning
    assert prompt.output is not None and ("json_schema", {"type": "object"}) == (prompt.output.kind, prompt.output.schema)
    assert prompt.tool_choice is not None and "named" == prompt.tool_choice.mode
    search, f, g = sorted(prompt.tools, key=lambda tool: len(type(tool).__name__))
    assert ("f", {"type": "object"}) == (f.name, f.schema)  # type: ignore[attr-defined]
    assert {"type": "object", "properties": {"a_b": {"type": ["string", "null"]}}} == g.schema  # type: ignore[attr-defined]
    assert ("web_search", "google.gemini") == (search.kind, search.vendor)  # type: ignore[attr-defined]


# ---- errors and models --------------------------------------------------------------------------


@pytest.mark.parametrize(("error", "code", "status"), [
    (Unauthorized("no"), 401, "UNAUTHENTICATED"), (ModelNotFound("no"), 404, "NOT_FOUND"),
    (TooMany("no", retry_after=7), 429, "RESOURCE_EXHAUSTED"), (InvalidField("no", param="contents"), 400, "INVALID_ARGUMENT"),
    (UpstreamBroken("no"), 500, "INTERNAL"),
])  # fmt: skip
def test_errors_are_raised_as_the_sdks_own(error: GatewayError, code: int, status: str) -> None:
    """From our error bodies the SDK raises its exceptions, with message, code and word."""
    answer = httpx.Response(
        DIALECT.error_status(error), content=DIALECT.write_error(error), headers={"content-type": "application/json"}
    )
    kind = errors.ServerError if code >= 500 else errors.ClientError
    with pytest.raises(kind, match="no") as caught:
        client(lambda: answer).models.generate_content(model="m", contents="hi")
    assert (code, status) == (caught.value.code, caught.value.status)


def test_an_error_in_a_stream_is_raised_by_the_sdk() -> None:
    """From an error frame of ours the SDK raises."""
    with pytest.raises(errors.ServerError, match="broke off"):
        streamed(write(STREAM, [ResponseStart(id="x"), Error(error=UpstreamBroken("broke off"))]))


def test_heartbeats_are_no_trouble_to_the_sdk() -> None:
    """The SDK reads a stream in which heartbeats stand between all frames."""
    writer = DIALECT.writer(STREAM)
    data = writer.idle()
    for event in events_of(replies("sse")[0]):
        data += writer.feed(event) + writer.idle()
    assert gist(streamed(data)) == plain(events_of(replies("sse")[0]))


def test_lists_of_models_and_counts_are_read_by_the_sdk() -> None:
    """The SDK lists our models, and reads our counts."""
    answer = httpx.Response(200, content=DIALECT.write_models([ModelInfo("a"), ModelInfo("models/b")]))
    answer.headers["content-type"] = "application/json"
    assert ["models/a", "models/b"] == [model.name for model in client(lambda: answer).models.list()]
    counted = httpx.Response(200, content=DIALECT.write_count(7), headers={"content-type": "application/json"})
    assert 7 == client(lambda: counted).models.count_tokens(model="m", contents="hi").total_tokens


def test_a_refused_prompt_is_told_by_the_sdk() -> None:
    """A prompt that was refused has its reason where the SDK looks for it."""
    request = Request(dialect="google.gemini", model="m", stream=True, prompt=Prompt())
    reason = StopReason("content_filter", explanation="no", raw="promptFeedback.SAFETY")
    events: list[Event] = [ResponseStart(id="x"), Stop(reason=reason), ResponseEnd()]
    response = streamed(write(request, events))[0]
    assert response.prompt_feedback is not None
    assert ("SAFETY", "no") == (response.prompt_feedback.block_reason, response.prompt_feedback.block_reason_message)
