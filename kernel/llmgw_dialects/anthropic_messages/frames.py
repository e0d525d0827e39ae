"""Frames of a stream: what they came as, and how they are written."""

from __future__ import annotations

from typing import Any

from llmgw import jsons, sse
from llmgw.events import Event, Frame
from llmgw.model import JSON
from llmgw.splice import merged, splice
from llmgw_dialects.anthropic_messages.names import NAME, object_of, text_of


def framed(payload: dict[str, JSON]) -> bytes:
    """A frame; SDKs go by its name and by its type."""
    return _frame(text_of(payload, "type"), jsons.dumps(payload))


def renumbered(frame: Frame, number: int) -> bytes:
    """A frame of a block as it came, but for its number."""
    tree = frame.tree
    if not isinstance(tree, dict) or tree.get("index") == number:
        return frame.data
    name, data = sse.parse(frame.data)
    return frame.data if data is None else _frame(name, splice(data, merged(tree, {"index": number})))


def is_own(event: Event | None) -> bool:
    """Whether an event came in this dialect."""
    return event is not None and event.frame is not None and event.frame.dialect == NAME


def like(event: Event, kind: str) -> dict[str, Any]:
    """The frame of this type that an event came in, to be written anew around what was changed; empty if it did not."""
    tree = event.frame.tree if event.frame is not None and is_own(event) else None
    return tree if isinstance(tree, dict) and tree.get("type") == kind else {}


def delta(event: Event, index: int, said: dict[str, JSON]) -> bytes:
    """A ``content_block_delta``; keys beside those that we know stay."""
    if not is_own(event):
        head = b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":' % index
        return head + jsons.dumps(said) + b"}\n\n"
    tree = like(event, "content_block_delta")
    old = object_of(tree, "delta")
    if old.get("type") != said["type"]:
        tree, old = {}, {}
    return framed({"type": "content_block_delta", "index": index} | tree | {"index": index, "delta": {**old, **said}})


def _frame(name: str, data: bytes) -> bytes:
    return b"event: " + name.encode() + b"\ndata: " + data + b"\n\n"
