"""What the official SDKs make of a client's bytes: the same few facts from each of them."""

from __future__ import annotations

import json
from typing import Any

import anthropic
import openai
from attrs import field, frozen
from google import genai
from sdk_oracles import answering, sdk


@frozen
class Heard:
    """What a client understands.

    Args:
        text: all text.
        thoughts: all that was thought.
        calls: id, name and arguments of each call; of a freeform one the text.
        stop: the dialect's own word.
        usage: the dialect's own numbers.
        raw: the SDK's object.
    """

    text: str
    thoughts: str
    calls: list[tuple[str | None, str, Any]]
    stop: str | None
    usage: dict[str, Any]
    raw: Any = field(repr=False, eq=False)

    @property
    def done(self) -> list[tuple[str, Any]]:
        """The calls without their ids."""
        return [(name, arguments) for _, name, arguments in self.calls]


def heard(dialect: str, data: bytes, *, stream: bool) -> Heard:
    """What the SDK of this dialect makes of a reply; raises what the SDK raises."""
    return {"C": _chat, "S": _responses, "A": _anthropic, "G": _gemini}[dialect](data, stream)


RAISED: dict[str, type[Exception]] = {
    "C": openai.APIError, "S": openai.OpenAIError, "A": anthropic.APIError, "G": genai.errors.APIError,
}  # fmt: skip
"""What the SDKs raise for a provider's error."""


def _chat(data: bytes, stream: bool) -> Heard:
    asked: Any = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
    with sdk("C", answering(data, stream=stream)) as client:
        if stream:
            with client.chat.completions.stream(**asked) as events:
                completion: Any = events.get_final_completion()
        else:
            completion = client.chat.completions.create(**asked)
    [choice] = completion.choices
    message = choice.message
    calls = [
        (call.id, call.function.name, _read(call.function.arguments))
        if call.type == "function"
        else (call.id, call.custom.name, call.custom.input)
        for call in message.tool_calls or ()
    ]
    thoughts = getattr(message, "reasoning_content", None) or ""
    usage = completion.usage.model_dump() if completion.usage else {}
    return Heard(message.content or "", thoughts, calls, choice.finish_reason, usage, completion)


def _responses(data: bytes, stream: bool) -> Heard:
    with sdk("S", answering(data, stream=stream)) as client:
        if stream:
            with client.responses.stream(model="m", input="hi") as events:
                response: Any = events.get_final_response()
        else:
            response = client.responses.create(model="m", input="hi")
    calls: list[tuple[str | None, str, Any]] = []
    thoughts = ""
    for item in response.output:
        match item.type:
            case "function_call":
                calls.append((item.call_id, item.name, _read(item.arguments)))
            case "custom_tool_call":
                calls.append((item.call_id, item.name, item.input))
            case "reasoning":
                thoughts += "".join(one.text for one in item.summary)
    usage = response.usage.model_dump() if response.usage else {}
    return Heard(response.output_text, thoughts, calls, response.status, usage, response)


def _anthropic(data: bytes, stream: bool) -> Heard:
    asked: Any = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
    with sdk("A", answering(data, stream=stream)) as client:
        if stream:
            with client.messages.stream(**asked) as events:
                message: Any = events.get_final_message()
        else:
            message = client.messages.create(**asked)
    text = "".join(block.text for block in message.content if block.type == "text")
    thoughts = "".join(block.thinking for block in message.content if block.type == "thinking")
    calls = [(block.id, block.name, block.input) for block in message.content if block.type == "tool_use"]
    return Heard(text, thoughts, calls, message.stop_reason, message.usage.model_dump(), message)


def _gemini(data: bytes, stream: bool) -> Heard:
    with sdk("G", answering(data, stream=stream)) as client:
        if stream:
            chunks: list[Any] = list(client.models.generate_content_stream(model="m", contents="hi"))
        else:
            chunks = [client.models.generate_content(model="m", contents="hi")]
    parts = [part for chunk in chunks for one in chunk.candidates or () for part in (one.content and one.content.parts) or ()]
    stops = [one.finish_reason.value for chunk in chunks for one in chunk.candidates or () if one.finish_reason]
    text = "".join(part.text for part in parts if part.text and not part.thought)
    thoughts = "".join(part.text for part in parts if part.text and part.thought)
    calls = [(part.function_call.id, part.function_call.name, part.function_call.args) for part in parts if part.function_call]
    usage = chunks[-1].usage_metadata.model_dump() if chunks[-1].usage_metadata else {}
    return Heard(text, thoughts, calls, stops[-1] if stops else None, usage, chunks)


def _read(arguments: str) -> Any:
    return json.loads(arguments)


# ---- the client's next turn ---------------------------------------------------------------------


def goes_on(dialect: str, body: dict[str, Any], said: Heard, *more: Any) -> dict[str, Any]:
    """The next request of a client that keeps what its SDK gave it.

    Args:
        dialect: the client's.
        body: its last request.
        said: the reply, as the SDK understood it.
        more: what the client adds: messages, items or contents.
    """
    key = {"C": "messages", "S": "input", "A": "messages", "G": "contents"}[dialect]
    return {**body, key: [*body[key], *_kept(dialect, said), *more]}


def _kept(dialect: str, said: Heard) -> list[Any]:
    match dialect:
        case "C":
            message = said.raw.choices[0].message.model_dump(mode="json", exclude_none=True)
            for call in message.get("tool_calls", ()):
                call.get("function", {}).pop("parsed_arguments", None)
                call.pop("index", None)
            message.pop("parsed", None)
            return [message]
        case "S":
            dumped = [item.model_dump(mode="json", exclude_none=True) for item in said.raw.output]
            for item in dumped:
                item.pop("parsed_arguments", None)
                for part in item.get("content", ()):
                    part.pop("parsed", None)
            return dumped
        case "A":
            blocks = [block.model_dump(mode="json", exclude_none=True) for block in said.raw.content]
            return [{"role": "assistant", "content": blocks}]
        case _:
            contents = [chunk.candidates[0].content for chunk in said.raw if chunk.candidates and chunk.candidates[0].content]
            dumped = [content.model_dump(mode="json", by_alias=True, exclude_none=True) for content in contents]
            return [{"role": "model", "parts": [part for content in dumped for part in content.get("parts", ())]}]
