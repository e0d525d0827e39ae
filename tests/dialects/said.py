"""What providers say, in their own words: one reply told in each of the four dialects, whole and streamed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from attrs import frozen

_STOPS = {
    "C": {"end": "stop", "tool_use": "tool_calls", "max_tokens": "length", "content_filter": "content_filter"},
    "A": {"end": "end_turn", "content_filter": "refusal"},
    "G": {"end": "STOP", "tool_use": "STOP", "max_tokens": "MAX_TOKENS", "content_filter": "SAFETY"},
}


@frozen
class Said:
    """A reply.

    Args:
        text: what it says.
        calls: id, name and arguments of each call; the arguments as a model writes them.
        thought: what it thought.
        stop: the canonical word for its end; what a dialect has no word for goes out as it is.
        signature: what comes with the thought.
        pieces: characters of a delta.
        input: tokens of the prompt.
        output: tokens of the reply.
    """

    text: str = ""
    calls: tuple[tuple[str, str, str], ...] = ()
    thought: str = ""
    stop: str = ""
    signature: str = "c2lnbmF0dXJl"
    pieces: int = 4
    input: int = 11
    output: int = 7

    @property
    def ending(self) -> str:
        """How it ends, where that is not said."""
        return self.stop or ("tool_use" if self.calls else "end")

    def word(self, dialect: str) -> str:
        """That in a dialect's word."""
        return _STOPS[dialect].get(self.ending, self.ending)

    def cut(self, text: str) -> Iterator[str]:
        """A text in pieces."""
        yield from (text[at : at + self.pieces] for at in range(0, len(text), self.pieces))


def says(dialect: str, reply: Said, *, stream: bool) -> bytes:
    """The bytes with which a provider of a dialect says it."""
    return (_STREAMED if stream else _WHOLE)[dialect](reply)


# ---- frames -------------------------------------------------------------------------------------


def data_frames(*values: Any) -> bytes:
    """Frames of C and G."""
    return b"".join(b"data: " + json.dumps(value).encode() + b"\n\n" for value in values)


def event_frames(*values: dict[str, Any]) -> bytes:
    """Frames of S and A, named by their types."""
    return b"".join(b"event: %b\ndata: %b\n\n" % (value["type"].encode(), json.dumps(value).encode()) for value in values)


def frames_of(stream: bytes) -> list[Any]:
    """The JSON of a client's stream, frame by frame."""
    lines = [line[5:].strip() for line in stream.decode().replace("\r\n", "\n").split("\n") if line.startswith("data:")]
    return [json.loads(line) for line in lines if line and line != "[DONE]"]


# ---- Chat ---------------------------------------------------------------------------------------


def chunk(delta: dict[str, Any] | None = None, finish: str | None = None, **rest: Any) -> dict[str, Any]:
    """A chunk of Chat."""
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
    return {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 5, "model": "gpt-4.1", "choices": choices, **rest}


def chat_calls(calls: Iterable[tuple[str, str, str]]) -> list[dict[str, Any]]:
    """Calls as Chat writes them."""
    return [{"id": one, "type": "function", "function": {"name": name, "arguments": text}} for one, name, text in calls]


def chat_usage(reply: Said) -> dict[str, int]:
    """Usage as Chat tells it."""
    total = reply.input + reply.output
    return {"prompt_tokens": reply.input, "completion_tokens": reply.output, "total_tokens": total}


def _chat_whole(reply: Said) -> bytes:
    message: dict[str, Any] = {"role": "assistant", "content": reply.text or None}
    if reply.thought:
        message["reasoning_content"] = reply.thought
    if reply.calls:
        message["tool_calls"] = chat_calls(reply.calls)
    choice = {"index": 0, "message": message, "finish_reason": reply.word("C")}
    told = {"id": "chatcmpl-1", "object": "chat.completion", "created": 5, "model": "gpt-4.1"}
    return json.dumps({**told, "choices": [choice], "usage": chat_usage(reply)}).encode()


def _chat_streamed(reply: Said) -> bytes:
    chunks = [chunk({"role": "assistant", "content": ""})]
    chunks += [chunk({"reasoning_content": piece}) for piece in reply.cut(reply.thought)]
    chunks += [chunk({"content": piece}) for piece in reply.cut(reply.text)]
    for at, one in enumerate(chat_calls(reply.calls)):
        text = one["function"].pop("arguments")
        chunks.append(chunk({"tool_calls": [{"index": at, **one, "function": {**one["function"], "arguments": ""}}]}))
        chunks += [chunk({"tool_calls": [{"index": at, "function": {"arguments": piece}}]}) for piece in reply.cut(text)]
    chunks.append(chunk({}, reply.word("C")))
    chunks.append(chunk(usage=chat_usage(reply)))
    return data_frames(*chunks) + b"data: [DONE]\n\n"


# ---- Responses ----------------------------------------------------------------------------------


def response(status: str, output: list[Any], **rest: Any) -> dict[str, Any]:
    """A response as such."""
    told = {"id": "resp_1", "object": "response", "created_at": 5, "model": "gpt-5.2", "status": status, "output": output}
    return {
        **told,
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "error": None,
        "incomplete_details": None,
        **rest,
    }


def responses_usage(reply: Said) -> dict[str, Any]:
    """Usage as Responses tells it."""
    return {
        "input_tokens": reply.input, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": reply.output,
        "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": reply.input + reply.output,
    }  # fmt: skip


def _responses_items(reply: Said) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    if reply.thought:
        summary = [{"type": "summary_text", "text": reply.thought}]
        items.append({"id": "rs_1", "type": "reasoning", "summary": summary, "encrypted_content": f"gAAAA{reply.signature}"})
    if reply.text:
        content = [{"type": "output_text", "text": reply.text, "annotations": [], "logprobs": []}]
        items.append({"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": content})
    for at, (ident, name, text) in enumerate(reply.calls):
        call = {"id": f"fc_{at}", "type": "function_call", "call_id": ident, "name": name, "arguments": text}
        items.append({**call, "status": "completed"})
    return items


def _responses_final(reply: Said) -> dict[str, Any]:
    reason = {"max_tokens": "max_output_tokens", "content_filter": "content_filter"}.get(reply.ending)
    told: dict[str, Any] = {"usage": responses_usage(reply)}
    if reason:
        told["incomplete_details"] = {"reason": reason}
    return response("incomplete" if reason else "completed", _responses_items(reply), **told)


def _responses_whole(reply: Said) -> bytes:
    return json.dumps(_responses_final(reply)).encode()


def _responses_streamed(reply: Said) -> bytes:
    events: list[dict[str, Any]] = [
        {"type": "response.created", "response": response("in_progress", [])},
        {"type": "response.in_progress", "response": response("in_progress", [])},
    ]
    for at, item in enumerate(_responses_items(reply)):
        events += _responses_item(reply, at, item)
    final = _responses_final(reply)
    events.append({"type": f"response.{final['status']}", "response": final})
    return event_frames(*({**event, "sequence_number": number} for number, event in enumerate(events)))


def _responses_item(reply: Said, at: int, item: dict[str, Any]) -> Iterator[dict[str, Any]]:
    here = {"output_index": at, "item_id": item["id"]}
    match item["type"]:
        case "reasoning":
            part = {**here, "summary_index": 0}
            yield _added(at, {**item, "summary": [], "encrypted_content": "gAAAAhalf"})
            yield {"type": "response.reasoning_summary_part.added", **part, "part": {"type": "summary_text", "text": ""}}
            for piece in reply.cut(reply.thought):
                yield {"type": "response.reasoning_summary_text.delta", **part, "delta": piece}
            yield {"type": "response.reasoning_summary_text.done", **part, "text": reply.thought}
            yield {"type": "response.reasoning_summary_part.done", **part, "part": item["summary"][0]}
        case "message":
            part = {**here, "content_index": 0}
            yield _added(at, {**item, "status": "in_progress", "content": []})
            yield {"type": "response.content_part.added", **part, "part": {**item["content"][0], "text": ""}}
            for piece in reply.cut(reply.text):
                yield {"type": "response.output_text.delta", **part, "delta": piece, "logprobs": []}
            yield {"type": "response.output_text.done", **part, "text": reply.text, "logprobs": []}
            yield {"type": "response.content_part.done", **part, "part": item["content"][0]}
        case _:
            yield _added(at, {**item, "status": "in_progress", "arguments": ""})
            for piece in reply.cut(item["arguments"]):
                yield {"type": "response.function_call_arguments.delta", **here, "delta": piece}
            done = {"arguments": item["arguments"], "name": item["name"]}
            yield {"type": "response.function_call_arguments.done", **here, **done}
    yield {"type": "response.output_item.done", "output_index": at, "item": item}


def _added(at: int, item: dict[str, Any]) -> dict[str, Any]:
    return {"type": "response.output_item.added", "output_index": at, "item": item}


# ---- Messages -----------------------------------------------------------------------------------


def _messages_blocks(reply: Said) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = []
    if reply.thought:
        blocks.append({"type": "thinking", "thinking": reply.thought, "signature": reply.signature})
    if reply.text:
        blocks.append({"type": "text", "text": reply.text})
    for ident, name, text in reply.calls:
        blocks.append({"type": "tool_use", "id": ident, "name": name, "input": json.loads(text) if _is_json(text) else {}})
    return blocks


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def message(content: list[Any], stop: str | None, usage: dict[str, int], **rest: Any) -> dict[str, Any]:
    """A message as Anthropic answers it."""
    told = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5", "content": content}
    return {**told, "stop_reason": stop, "stop_sequence": None, "usage": usage, **rest}


def _messages_whole(reply: Said) -> bytes:
    usage = {"input_tokens": reply.input, "output_tokens": reply.output}
    return json.dumps(message(_messages_blocks(reply), reply.word("A"), usage)).encode()


def _messages_streamed(reply: Said) -> bytes:
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": message([], None, {"input_tokens": reply.input, "output_tokens": 1})}
    ]
    texts = iter([text for _, _, text in reply.calls])
    for at, block in enumerate(_messages_blocks(reply)):
        match block["type"]:
            case "thinking":
                start: dict[str, Any] = {"type": "thinking", "thinking": "", "signature": ""}
                deltas = [{"type": "thinking_delta", "thinking": piece} for piece in reply.cut(reply.thought)]
                deltas.append({"type": "signature_delta", "signature": reply.signature})
            case "text":
                start = {"type": "text", "text": ""}
                deltas = [{"type": "text_delta", "text": piece} for piece in reply.cut(reply.text)]
            case _:
                start = {**block, "input": {}}
                deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in ("", *reply.cut(next(texts)))]
        events.append({"type": "content_block_start", "index": at, "content_block": start})
        events += [{"type": "content_block_delta", "index": at, "delta": delta} for delta in deltas]
        events.append({"type": "content_block_stop", "index": at})
    delta = {"stop_reason": reply.word("A"), "stop_sequence": None}
    events.append({"type": "message_delta", "delta": delta, "usage": {"output_tokens": reply.output}})
    return event_frames(*events, {"type": "message_stop"})


# ---- Gemini -------------------------------------------------------------------------------------


def candidate(parts: list[Any], finish: str | None = None, **rest: Any) -> dict[str, Any]:
    """A chunk of Gemini's, or a whole reply."""
    ended = {"finishReason": finish} if finish else {}
    told = {"candidates": [{"content": {"role": "model", "parts": parts}, "index": 0, **ended}], "modelVersion": "gemini-3-pro"}
    return {**told, "responseId": "r1", **rest}


def gemini_usage(reply: Said) -> dict[str, int]:
    """Usage as Gemini tells it."""
    return {
        "promptTokenCount": reply.input,
        "candidatesTokenCount": reply.output,
        "totalTokenCount": reply.input + reply.output,
    }


def _gemini_calls(reply: Said) -> list[dict[str, Any]]:
    out: list[dict[str, Any]] = []
    for ident, name, text in reply.calls:
        call = {"name": name, "args": json.loads(text), **({"id": ident} if ident else {})}
        out.append({"functionCall": call} if out else {"functionCall": call, "thoughtSignature": reply.signature})
    return out


def _gemini_whole(reply: Said) -> bytes:
    parts: list[Any] = [{"text": reply.thought, "thought": True}] if reply.thought else []
    parts += [{"text": reply.text}] if reply.text else []
    usage = gemini_usage(reply)
    return json.dumps(candidate([*parts, *_gemini_calls(reply)], reply.word("G"), usageMetadata=usage)).encode()


def _gemini_streamed(reply: Said) -> bytes:
    chunks = [candidate([{"text": piece, "thought": True}]) for piece in reply.cut(reply.thought)]
    chunks += [candidate([{"text": piece}]) for piece in reply.cut(reply.text)]
    chunks += [candidate([call]) for call in _gemini_calls(reply)]
    chunks.append(candidate([], reply.word("G"), usageMetadata=gemini_usage(reply)))
    return data_frames(*chunks)


_WHOLE = {"C": _chat_whole, "S": _responses_whole, "A": _messages_whole, "G": _gemini_whole}
_STREAMED = {"C": _chat_streamed, "S": _responses_streamed, "A": _messages_streamed, "G": _gemini_streamed}
