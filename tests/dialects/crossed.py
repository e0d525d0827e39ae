"""Means for the tests of a crossing's steps about tools and history."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

from llmgw.events import BlockDelta, BlockStart, BlockStop, Event, Invariants, ResponseEnd, ResponseStart, Stop, StopReason
from llmgw.model import Loss, Message, Profile, Prompt, RawDoc, Request, Text, ToolCall, ToolResult, sourced
from llmgw_dialects.crossing import Leg, Step
from llmgw_dialects.losses import Losses

CHAT, RESPONSES, ANTHROPIC, GEMINI = "openai.chat", "openai.responses", "anthropic.messages", "google.gemini"


def leg(client: str = CHAT, target: str = ANTHROPIC, **profile: Any) -> Leg:
    """A crossing from a client's dialect to a target whose model has this profile."""
    request = Request(dialect=client, model="m", prompt=Prompt())
    return Leg(request, target, Profile(**profile), Losses(target, client, []))


def losses(step: Step) -> list[Loss]:
    """What a step has lost."""
    return step.leg.losses.found


def features(step: Step) -> list[str]:
    """What a step has lost, by their names."""
    return [loss.feature for loss in losses(step)]


def back(step: Step, events: Iterable[Event]) -> list[Event]:
    """The events on their way back, which keep the laws."""
    out = [made for event in events for made in step.back(event)]
    invariants = Invariants()
    assert [broken for event in out if (broken := invariants.feed(event))] == []
    return out


def reply(*blocks: list[Event], stop: Any = "tool_use") -> list[Event]:
    """A whole reply of blocks."""
    inner = [event for block in blocks for event in block]
    return [ResponseStart(), *inner, Stop(reason=StopReason(stop)), ResponseEnd()]


def call_block(index: int, name: str, *fragments: str, call_id: str = "c1", **meta: Any) -> list[Event]:
    """A tool call as a provider streams it."""
    deltas = [BlockDelta(index=index, channel="args", fragment=fragment) for fragment in fragments]
    start = BlockStart(index=index, kind="tool_call", meta={"call_id": call_id, "name": name, **meta})
    return [start, *deltas, BlockStop(index=index)]


def text_block(index: int, text: str) -> list[Event]:
    """A text."""
    delta = BlockDelta(index=index, channel="text", fragment=text)
    return [BlockStart(index=index, kind="text"), delta, BlockStop(index=index)]


def user(text: str, **rest: Any) -> Message:
    """What the user said."""
    return Message(role="user", parts=(Text(text),), **rest)


def assistant(*parts: Any, **rest: Any) -> Message:
    """What the assistant said: texts may be given as strings."""
    return Message(role="assistant", parts=tuple(Text(part) if isinstance(part, str) else part for part in parts), **rest)


def call(call_id: str, name: str = "f", arguments: str = "{}", **rest: Any) -> ToolCall:
    """A call."""
    return ToolCall(call_id=call_id, name=name, arguments=arguments, **rest)


def result(call_id: str, text: str = "ok", **rest: Any) -> ToolResult:
    """A result."""
    return ToolResult(call_id=call_id, parts=(Text(text),), **rest)


def read_from(node: Any, *path: Any, dialect: str = CHAT) -> Any:
    """A node as if it had been read from this path of a client's body."""
    return sourced(node, RawDoc(dialect, b"{}"), path, None)


def pieces(text: str, cuts: Iterable[int]) -> list[str]:
    """A text, cut at these places."""
    edges = [0, *sorted(cut % (len(text) + 1) for cut in cuts), len(text)]
    return [text[start:end] for start, end in pairwise(edges)]
