"""Events become a client's whole body, once the last of them has come."""

from __future__ import annotations

from typing import Any

from attrs import define, field

from llmgw.events import Accumulator, Choice, Event, ResponseStart, Stop
from llmgw.model import JSON, Audio, Base64, OpaquePart, Part, Reasoning, Refusal, Request, Text, ToolCall
from llmgw_dialects.ids import minted
from llmgw_dialects.openai_chat.citations import write_citation
from llmgw_dialects.openai_chat.names import NAME
from llmgw_dialects.openai_chat.reasoning import carried_details, sealed_detail
from llmgw_dialects.openai_chat.stops import write_stop
from llmgw_dialects.openai_chat.usage import write_usage
from llmgw_dialects.openai_chat.writing import envelope


@define(eq=False)
class Gathered:
    """The events of a reply, folded, and the provider's words for why it ended."""

    _fold: Accumulator = field(factory=Accumulator)
    _start: ResponseStart | None = None
    _stops: dict[int, Stop] = field(factory=dict)

    def feed(self, event: Event) -> None:
        """Take one event more."""
        self._fold.feed(event)
        match event:
            case ResponseStart():
                self._start = event
            case Stop():
                self._stops.setdefault(event.choice, event)
            case _:
                pass

    def body(self, request: Request, like: JSON) -> dict[str, JSON]:
        """A chat completion.

        Args:
            request: what it answers.
            like: a body whose spelling to follow, where a vendor has its own.
        """
        reply = self._fold.reply()
        originals = like.get("choices") if isinstance(like, dict) else None
        out = envelope(self._start, request, "chat.completion")
        out["choices"] = [self._choice(choice, _message(originals, number)) for number, choice in enumerate(reply.choices)]
        if reply.usage is not None:
            out["usage"] = write_usage(reply.usage)
        return {**out, **(reply.extras.get(NAME) or {})}

    def _choice(self, choice: Choice, like: dict[str, Any]) -> dict[str, JSON]:
        texts = [part for part in choice.parts if isinstance(part, Text)]
        logprobs = [one for part in texts for one in part.logprobs or ()]
        out: dict[str, Any] = {"index": choice.index, "message": self._message(choice, like)}
        out["logprobs"] = {"content": logprobs, "refusal": None} if logprobs else None
        stop = self._stops.get(choice.index)
        if stop is not None:
            own = stop.frame is not None and stop.frame.dialect == NAME
            silent = not any(isinstance(part, Text | Refusal) for part in choice.parts)
            told = out["message"]["refusal"] is not None or bool(stop.reason.explanation)
            out["finish_reason"] = write_stop(stop.reason, own=own, untold=silent or not told)
            if not own and out["message"]["refusal"] is None and stop.reason.kind in ("refusal", "content_filter"):
                out["message"]["refusal"] = stop.reason.explanation
        return out

    def _message(self, choice: Choice, like: dict[str, Any]) -> dict[str, JSON]:
        message: dict[str, Any] = {"role": "assistant", **_content(choice.parts, like)}
        refusals = [part.text for part in choice.parts if isinstance(part, Refusal)]
        message["refusal"] = "".join(refusals) if refusals else None
        _reason(message, [part for part in choice.parts if isinstance(part, Reasoning)], like)
        annotations = _cited(choice.parts)
        annotations += [entry for part in choice.parts for entry in part.extras.get("annotations", ())]  # of files
        if annotations:
            message["annotations"] = annotations
        _calls(message, [(number, part) for number, part in enumerate(choice.parts) if isinstance(part, ToolCall)], choice, like)
        for part in choice.parts:
            if isinstance(part, Audio):
                known = {"id": part.id, "transcript": part.transcript, "expires_at": part.expires_at}
                known["data"] = part.blob.data if isinstance(part.blob, Base64) else None
                message["audio"] = {key: value for key, value in known.items() if value is not None}
        return message


def _message(originals: JSON, number: int) -> dict[str, Any]:
    match originals[number] if isinstance(originals, list) and number < len(originals) else None:
        case {"message": dict(message)}:
            return message
        case _:
            return {}


def _cited(parts: tuple[Part, ...]) -> list[JSON]:
    """Annotations of the content, which is all texts in one."""
    out: list[JSON] = []
    before = 0
    for part in parts:
        if isinstance(part, Text):
            out += [entry for one in part.citations if (entry := write_citation(one, part.text, before)) is not None]
            before += len(part.text)
    return out


def _content(parts: tuple[Part, ...], like: dict[str, Any]) -> dict[str, JSON]:
    """A string, or Mistral's list if the provider wrote one."""
    if not isinstance(like.get("content"), list) and not any(isinstance(part, OpaquePart) for part in parts):
        texts = [part.text for part in parts if isinstance(part, Text)]
        return {"content": "".join(texts) if texts or not any(isinstance(part, ToolCall) for part in parts) else None}
    entries: list[JSON] = []
    for part in parts:
        match part:
            case Text():
                entries.append({"type": "text", "text": part.text})
            case Reasoning():
                entries.append({"type": "thinking", "thinking": [{"type": "text", "text": "".join(part.raw_text)}]})
            case OpaquePart(dialect=dialect) if dialect == NAME:
                entries.append(part.raw)
            case _:
                pass
    return {"content": entries}


def _reason(message: dict[str, Any], parts: list[Reasoning], like: dict[str, Any]) -> None:
    """Under the provider's keys, else as ``reasoning_content``, which most clients read."""
    text = "".join("".join(part.raw_text) or "\n\n".join(part.summary) for part in parts)
    keys = [key for key in ("reasoning_content", "reasoning") if isinstance(like.get(key), str) and like[key]]
    if text and not isinstance(message["content"], list):
        message.update(dict.fromkeys(keys or ["reasoning_content"], text))
    details = [entry for part in parts for entry in carried_details(part.carrier)]
    foreign = [part for part in parts if part.carrier is not None and part.carrier.kind != "details"]
    for part in foreign:
        assert part.carrier is not None
        details.append(sealed_detail(part.carrier, "".join(part.raw_text) or "\n\n".join(part.summary)))
    if details:
        message["reasoning_details"] = details


def _calls(message: dict[str, Any], calls: list[tuple[int, ToolCall]], choice: Choice, like: dict[str, Any]) -> None:
    legacy = like.get("function_call")
    if calls and isinstance(legacy, dict) and legacy.get("name"):
        *calls, (_, call) = calls
        message["function_call"] = {"name": call.name, "arguments": call.arguments}
    if calls:
        message["tool_calls"] = [write_call(call, minted("call_", choice.index, n, call.name)) for n, call in calls]


def write_call(call: ToolCall, minted_id: str) -> dict[str, JSON]:
    """An entry of ``tool_calls``."""
    entry: dict[str, JSON] = {"id": call.call_id or minted_id}
    if call.kind == "custom":
        entry |= {"type": "custom", "custom": {"name": call.name, "input": call.arguments}}
    else:
        entry |= {"type": "function", "function": {"name": call.name, "arguments": call.arguments}}
    if call.carrier is not None and call.carrier.kind == "thought_signature":
        entry["extra_content"] = {"google": {"thought_signature": call.carrier.payload}}
    return entry
