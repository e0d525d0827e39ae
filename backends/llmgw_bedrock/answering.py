"""Replies of Converse in Anthropic's terms (AWS, "ConverseStream"), to be read or relayed as such."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from attrs import define, field

from llmgw import jsons
from llmgw_bedrock.eventstream import Message
from llmgw_bedrock.unframing import told
from llmgw_dialects.failures import broken, loaded

_STOPS: Final = {
    "guardrail_intervened": "refusal", "content_filtered": "refusal", "malformed_model_output": "end_turn",
    "malformed_tool_use": "end_turn",
}  # fmt: skip
"""Those that Anthropic has another word for, or none."""
_USAGE: Final = {
    "inputTokens": "input_tokens", "outputTokens": "output_tokens", "cacheReadInputTokens": "cache_read_input_tokens",
    "cacheWriteInputTokens": "cache_creation_input_tokens",
}  # fmt: skip


def whole(data: bytes) -> bytes:
    """A whole reply as a message; what is none stays, and is told of by whoever reads it."""
    tree = loaded(data)
    try:
        content = tree["output"]["message"]["content"]
        blocks = [_block(block) for block in content]
        ends = {"stop_reason": _stop(tree["stopReason"]), "stop_sequence": None, "usage": _usage(tree.get("usage"))}
    except (KeyError, TypeError, AttributeError):
        return data
    return jsons.dumps({**_message(), "content": [block for block in blocks if block is not None], **ends})


@define(eq=False)
class Stream:
    """One stream: Converse opens no block of text, and tells usage last."""

    _open: set[int] = field(factory=set)
    _stopped: str | None = None

    def unframe(self, message: Message) -> bytes:
        """Server-sent events of Anthropic's.

        Raises:
            UpstreamBroken: it is no message of Converse's.
        """
        tree = loaded(message.payload)
        kind = message.headers.get(":event-type", "")
        try:
            return b"".join(told(event) for event in self._events(kind, tree))
        except (KeyError, TypeError, AttributeError):
            raise broken(message.payload, f"a message '{kind}' of Converse was expected") from None

    def _events(self, kind: str, tree: Any) -> list[dict[str, Any]]:
        match kind:
            case "messageStart":
                ends = {"stop_reason": None, "stop_sequence": None, "usage": _usage(None)}
                return [{"type": "message_start", "message": {**_message(), **ends}}]
            case "contentBlockStart":
                return self._start(tree["contentBlockIndex"], tree["start"])
            case "contentBlockDelta":
                return self._delta(tree["contentBlockIndex"], tree["delta"])
            case "contentBlockStop":
                number = tree["contentBlockIndex"]
                stop = [{"type": "content_block_stop", "index": number}] if number in self._open else []
                self._open.discard(number)
                return stop
            case "messageStop":
                self._stopped = _stop(tree["stopReason"])
                return []
            case "metadata" if self._stopped is not None:
                delta = {"stop_reason": self._stopped, "stop_sequence": None}
                return [{"type": "message_delta", "delta": delta, "usage": _usage(tree.get("usage"))}, {"type": "message_stop"}]
            case _:
                return []

    def _start(self, number: int, start: Mapping[str, Any]) -> list[dict[str, Any]]:
        call = start.get("toolUse")
        if call is None:
            return []
        return self._opened(number, {"type": "tool_use", "id": call["toolUseId"], "name": call["name"], "input": {}})

    def _delta(self, number: int, delta: Mapping[str, Any]) -> list[dict[str, Any]]:
        match delta:
            case {"text": str(text)}:
                block, said = {"type": "text", "text": ""}, {"type": "text_delta", "text": text}
            case {"toolUse": {"input": str(text)}}:
                block, said = {}, {"type": "input_json_delta", "partial_json": text}
            case {"reasoningContent": {"text": str(text)}}:
                block, said = _THINKING, {"type": "thinking_delta", "thinking": text}
            case {"reasoningContent": {"signature": str(text)}}:
                block, said = _THINKING, {"type": "signature_delta", "signature": text}
            case {"reasoningContent": {"redactedContent": str(data)}}:
                return self._opened(number, {"type": "redacted_thinking", "data": data})
            case _:
                return []
        return [*self._opened(number, block), {"type": "content_block_delta", "index": number, "delta": said}]

    def _opened(self, number: int, block: Mapping[str, Any]) -> list[dict[str, Any]]:
        if number in self._open or not block:
            return []
        self._open.add(number)
        return [{"type": "content_block_start", "index": number, "content_block": dict(block)}]


_THINKING: Final = {"type": "thinking", "thinking": "", "signature": ""}


def _message() -> dict[str, Any]:
    return {"id": "", "type": "message", "role": "assistant", "model": "", "content": []}


def _block(block: Mapping[str, Any]) -> dict[str, Any] | None:
    match block:
        case {"text": text}:
            return {"type": "text", "text": text}
        case {"toolUse": call}:
            return {"type": "tool_use", "id": call["toolUseId"], "name": call["name"], "input": call["input"]}
        case {"reasoningContent": {"reasoningText": thought}}:
            return {"type": "thinking", "thinking": thought["text"], "signature": thought.get("signature", "")}
        case {"reasoningContent": {"redactedContent": data}}:
            return {"type": "redacted_thinking", "data": data}
        case _:
            return None


def _stop(reason: str) -> str:
    return _STOPS.get(reason, reason)


def _usage(told: Any) -> dict[str, int]:
    """Of which a reader wants at least two numbers; Converse counts what came from a cache apart, as Anthropic does."""
    found = {name: told[key] for key, name in _USAGE.items() if isinstance(told, dict) and isinstance(told.get(key), int)}
    return {"input_tokens": 0, "output_tokens": 0, **found}
