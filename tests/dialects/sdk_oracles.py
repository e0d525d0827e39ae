"""The official SDKs as judges of what a client gets: fed with our bytes, what do they make of them?"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import anthropic
import httpx2 as httpx  # what all three speak through
import openai
from attrs import define, field, frozen
from google import genai
from google.genai import types as google

ASKED: Any = [{"role": "user", "content": "hi"}]


@frozen
class Heard:
    """What an SDK makes of a reply.

    Args:
        text: all of it.
        thought: what is shown of it.
        calls: name and arguments of each call, the arguments as an object, or as text where they are none.
        ids: of the calls.
        stop: the dialect's own word.
        input: tokens, cached ones included.
        output: tokens.
        native: the SDK's own object, or its chunks.
    """

    text: str = ""
    thought: str = ""
    calls: list[tuple[str, Any]] = field(factory=list)
    ids: list[str] = field(factory=list)
    stop: str = ""
    input: int = 0
    output: int = 0
    native: Any = field(default=None, repr=False, eq=False)


def heard(front: str, data: bytes, *, stream: bool) -> Heard:
    """What the SDK of a dialect makes of a client's bytes.

    Raises:
        Exception: the SDK's own, where the bytes are an error.
    """
    return _HEARERS[front](data, stream)


Answer = Callable[[httpx.Request], httpx.Response]


@contextmanager
def sdk(front: str, answer: Answer) -> Iterator[Any]:
    """A client of the official SDK whose every request is answered so."""
    _answers.append(answer)
    try:
        yield _made(front)
    finally:
        _answers.pop()


_answers: list[Answer] = []


@cache  # a client costs 100 ms, most of them for certificates that nobody asks for
def _made(front: str) -> Any:
    transport = httpx.Client(transport=httpx.MockTransport(lambda request: _answers[-1](request)))
    match front:
        case "A":
            return anthropic.Anthropic(api_key="k", base_url="http://x", max_retries=0, http_client=transport)
        case "G":
            return genai.Client(api_key="k", http_options=google.HttpOptions(base_url="http://x", httpx_client=transport))
        case _:
            return openai.OpenAI(api_key="k", base_url="http://x/v1", max_retries=0, http_client=transport)


def answering(data: bytes, *, stream: bool = False, status: int = 200, headers: dict[str, str] | None = None) -> Any:
    """Answers every request with these bytes."""
    kind = "text/event-stream" if stream else "application/json"
    return lambda _: httpx.Response(status, content=data, headers={"content-type": kind, **(headers or {})})


def _object(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


# ---- Chat ---------------------------------------------------------------------------------------


def _chat(data: bytes, stream: bool) -> Heard:
    with sdk("C", answering(data, stream=stream)) as client:
        if not stream:
            return _completion(client.chat.completions.create(model="m", messages=ASKED))
        with client.chat.completions.stream(model="m", messages=ASKED) as streamed:
            try:
                return _completion(streamed.get_final_completion())
            except (openai.LengthFinishReasonError, openai.ContentFilterFinishReasonError):
                return _completion(streamed.current_completion_snapshot)  # raised by design


def _completion(completion: Any) -> Heard:
    choice = completion.choices[0]
    message, usage = choice.message, completion.usage
    calls = message.tool_calls or []
    return Heard(
        text=message.content or "",
        thought=getattr(message, "reasoning_content", None) or "",
        calls=[(one.function.name, _object(one.function.arguments)) for one in calls if one.type == "function"],
        ids=[one.id for one in calls],
        stop=choice.finish_reason or "",
        input=usage.prompt_tokens if usage else 0,
        output=usage.completion_tokens if usage else 0,
        native=completion,
    )


# ---- Responses ----------------------------------------------------------------------------------


def _responses(data: bytes, stream: bool) -> Heard:
    with sdk("S", answering(data, stream=stream)) as client:
        if not stream:
            return _response(client.responses.create(model="m", input="hi"))
        last = None
        for event in client.responses.create(model="m", input="hi", stream=True):
            last = event
        if last is not None and last.type == "response.completed":
            with client.responses.stream(model="m", input="hi") as streamed:  # the accumulator must be content, too
                return _response(streamed.get_final_response())
        assert last is not None and hasattr(last, "response"), f"ended in {last!r}"
        return _response(last.response)


def _response(response: Any) -> Heard:
    calls = [one for one in response.output if one.type == "function_call"]
    thoughts = [part.text for one in response.output if one.type == "reasoning" for part in one.summary]
    reason = response.incomplete_details.reason if response.incomplete_details else ""
    return Heard(
        text=response.output_text,
        thought="".join(thoughts),
        calls=[(one.name, _object(one.arguments)) for one in calls],
        ids=[one.call_id for one in calls],
        stop=f"{response.status}/{reason}" if reason else response.status,
        input=response.usage.input_tokens if response.usage else 0,
        output=response.usage.output_tokens if response.usage else 0,
        native=response,
    )


# ---- Messages -----------------------------------------------------------------------------------


def _messages(data: bytes, stream: bool) -> Heard:
    with sdk("A", answering(data, stream=stream)) as client:
        if not stream:
            return _message(client.messages.create(model="m", max_tokens=9, messages=ASKED))
        with client.messages.stream(model="m", max_tokens=9, messages=ASKED) as streamed:
            return _message(streamed.get_final_message())


def _message(message: Any) -> Heard:
    calls = [one for one in message.content if one.type == "tool_use"]
    usage = message.usage
    return Heard(
        text="".join(one.text for one in message.content if one.type == "text"),
        thought="".join(one.thinking for one in message.content if one.type == "thinking"),
        calls=[(one.name, one.input) for one in calls],
        ids=[one.id for one in calls],
        stop=message.stop_reason or "",
        input=usage.input_tokens + (usage.cache_read_input_tokens or 0) + (usage.cache_creation_input_tokens or 0),
        output=usage.output_tokens,
        native=message,
    )


# ---- Gemini -------------------------------------------------------------------------------------


@define
class _Parts:
    texts: list[str] = field(factory=list)
    thoughts: list[str] = field(factory=list)
    calls: list[Any] = field(factory=list)


def _gemini(data: bytes, stream: bool) -> Heard:
    with sdk("G", answering(data, stream=stream)) as client:
        if stream:
            chunks = list(client.models.generate_content_stream(model="m", contents="hi"))
        else:
            chunks = [client.models.generate_content(model="m", contents="hi")]
    found, stop = _Parts(), ""
    for one in chunks:
        for candidate in one.candidates or []:
            stop = candidate.finish_reason.name if candidate.finish_reason else stop
            for part in (candidate.content.parts if candidate.content else None) or []:
                if part.function_call:
                    found.calls.append(part.function_call)
                elif part.text:
                    (found.thoughts if part.thought else found.texts).append(part.text)
    usage = next((one.usage_metadata for one in reversed(chunks) if one.usage_metadata), None)
    return Heard(
        text="".join(found.texts),
        thought="".join(found.thoughts),
        calls=[(one.name, one.args or {}) for one in found.calls],
        ids=[one.id or "" for one in found.calls],
        stop=stop,
        input=(usage.prompt_token_count or 0) if usage else 0,
        output=((usage.candidates_token_count or 0) + (usage.thoughts_token_count or 0)) if usage else 0,
        native=chunks,
    )


_HEARERS = {"C": _chat, "S": _responses, "A": _messages, "G": _gemini}
