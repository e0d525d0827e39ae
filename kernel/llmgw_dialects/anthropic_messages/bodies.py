"""Events become a client's whole message, once the last of them has come: block for block what a stream of them says."""

from __future__ import annotations

from typing import Any

from attrs import define, field

from llmgw.events import Accumulator, Event, ResponseStart, Stop, StopReason
from llmgw.model import (
    JSON,
    Carrier,
    OpaquePart,
    Part,
    Reasoning,
    Refusal,
    Request,
    ServerToolCall,
    ServerToolResult,
    Text,
    ToolCall,
)
from llmgw_dialects.anthropic_messages.arguments import wrapped
from llmgw_dialects.anthropic_messages.citations import write_citation
from llmgw_dialects.anthropic_messages.frames import is_own, like
from llmgw_dialects.anthropic_messages.laying import call_content, served_content
from llmgw_dialects.anthropic_messages.names import NAME, object_of
from llmgw_dialects.anthropic_messages.stops import write_stop
from llmgw_dialects.anthropic_messages.thinking import hidden, signature
from llmgw_dialects.anthropic_messages.thoughts import thought
from llmgw_dialects.anthropic_messages.usage import write_usage
from llmgw_dialects.anthropic_messages.writing import envelope

_DELTA = frozenset({"stop_reason", "stop_sequence", "stop_details"})
_FRAME = frozenset({"type", "delta", "usage"})


@define(eq=False)
class Gathered:
    """The events of a reply, folded, and what the fold has no place for."""

    _fold: Accumulator = field(factory=Accumulator)
    _start: ResponseStart | None = None
    _stop: Stop | None = None
    _extras: dict[str, JSON] = field(factory=dict)

    def feed(self, event: Event) -> None:
        """Take one event more."""
        self._fold.feed(event)
        if isinstance(event, ResponseStart):
            self._start = event
        elif isinstance(event, Stop) and event.choice == 0 and self._stop is None:
            self._stop = event
            tree = like(event, "message_delta")
            told = {key: value for key, value in object_of(tree, "delta").items() if key not in _DELTA}
            self._extras = {**told, **{key: value for key, value in tree.items() if key not in _FRAME}}

    def body(self, request: Request, like: JSON) -> dict[str, JSON]:
        """A message.

        Args:
            request: what it answers.
            like: the provider's own body, if it sent one in this dialect.
        """
        own = bool(like) or is_own(self._start)
        reply = self._fold.reply()
        parts = next((choice.parts for choice in reply.choices if choice.index == 0), ())
        named = envelope(self._start, request)
        out: dict[str, JSON] = {"id": named["id"], "type": "message", "role": "assistant", "model": named["model"]}
        out["content"] = _Content(own).blocks(parts)
        refused = next((_refused(part) for part in reversed(parts) if isinstance(part, Refusal)), None)
        reason = self._stop.reason if self._stop is not None else None
        out |= write_stop(reason, own=own or is_own(self._stop), refused=refused)
        out["usage"] = write_usage(reply.usage)
        return {**out, **(reply.extras.get(NAME) or {}), **self._extras}


def _refused(part: Refusal) -> StopReason:
    return StopReason("refusal", category=part.category, explanation=part.explanation)


@define
class _Content:
    """Makes blocks of parts.

    Args:
        own: whether they came in this dialect, and are as they came.
    """

    own: bool
    _out: list[JSON] = field(factory=list)
    _thought: tuple[dict[str, JSON], str] | None = None
    """The last block, if it is a thought that the call behind it may sign."""
    _thinks: bool = False
    _called: bool = False

    def blocks(self, parts: tuple[Part, ...]) -> list[JSON]:
        for number, part in enumerate(parts):
            for block in (made := self._part(part, number)):
                self._settle()
                self._out.append(block)
            if isinstance(part, Reasoning) and made:
                self._leave(part)
        self._settle()
        return self._out

    def _part(self, part: Part, number: int) -> list[dict[str, JSON]]:
        match part:
            case Text(text=text) if text or self.own or part.citations:
                return [_text(part)]
            case Refusal(text=text) if text:
                return [{"type": "text", "text": text}]
            case Reasoning():
                return self._reasoning(part)
            case ToolCall():
                return self._call(part, number)
            case ServerToolCall():
                block = served_content("server_tool_call", {"raw": part.raw, "id": part.id})
                return [] if block is None else [{**block, "input": {} if part.input is None else part.input}]
            case ServerToolResult():
                block = served_content("server_tool_result", {"raw": part.raw, "id": part.id, "output": part.output})
                return [] if block is None else [block]
            case OpaquePart(dialect=dialect, raw=raw) if dialect == NAME:
                return [raw]
            case _:
                return []

    def _reasoning(self, part: Reasoning) -> list[dict[str, JSON]]:
        text = thought(part)
        if not text and part.carrier is not None:
            return [hidden(part.carrier)]
        if not text and not self.own:
            return []
        slot = signature(part.carrier, text, own=self.own)
        return [{"type": "thinking", "thinking": text, "signature": "" if slot is None else slot}]

    def _leave(self, part: Reasoning) -> None:
        self._thinks = True
        last = self._out[-1]
        if not self.own and part.carrier is None and isinstance(last, dict) and last.get("type") == "thinking" and thought(part):
            self._thought = last, thought(part)

    def _settle(self, carrier: Carrier | None = None) -> None:
        if self._thought is not None and carrier is not None:
            block, text = self._thought
            block["signature"] = signature(carrier, text, own=False)
        self._thought = None

    def _call(self, part: ToolCall, number: int) -> list[dict[str, JSON]]:
        before: list[dict[str, JSON]] = []
        if self._thought is not None:
            self._settle(part.carrier)
        elif part.carrier is not None and not (self._called or self._thinks or self.own):
            before.append(hidden(part.carrier))
            self._thinks = True
        self._called = True
        meta = {"call_id": part.call_id, "name": part.name, "caller": part.caller}
        block = call_content(meta, number, object_of(dict(part.extras), NAME))
        return [*before, {**block, "input": _input(part)}]


def _input(part: ToolCall) -> Any:
    if part.kind == "custom":
        return {"input": part.arguments}
    return wrapped(part.arguments)


def _text(part: Text) -> dict[str, JSON]:
    unknown = object_of(dict(part.extras), NAME).get("citations")
    cited = [entry for one in part.citations if (entry := write_citation(one)) is not None]
    cited += unknown if isinstance(unknown, list) else []
    return {"type": "text", "text": part.text, **({"citations": cited} if cited else {})}
