"""Blocks that become an item as a whole: what the provider's own tools did, pictures, and what we do not know."""

from __future__ import annotations

from typing import Any

from llmgw.events import BlockStart
from llmgw.model import JSON, Request
from llmgw_dialects.openai_responses.names import HOSTED, NAME, RESULTS
from llmgw_dialects.openai_responses.objects import declares


def thing_of(event: BlockStart, request: Request, data: str = "") -> dict[str, Any] | None:
    """The item for a block; None where Responses has none, or the client did not ask for the tool.

    Args:
        event: its start.
        request: what is answered.
        data: what the block held, of a picture.
    """
    raw = event.meta.get("raw")
    match event.kind:
        case "opaque":
            return raw if event.meta.get("dialect") == NAME and isinstance(raw, dict) else None
        case "server_tool_call" | "server_tool_result" if is_own(raw):
            return raw
        case "server_tool_call" if event.meta.get("tool") == "web_search" and declares(request, "web_search"):
            return {"type": "web_search_call", "status": "completed", "action": _search(event.meta.get("input"))}
        case "media" if data and event.meta.get("type") == "image" and declares(request, "image_generation"):
            return {"type": "image_generation_call", "status": "completed", "result": data}
        case _:
            return None


def is_own(raw: JSON) -> bool:
    """Whether this is an item as Responses writes them."""
    return isinstance(raw, dict) and raw.get("type") in HOSTED | RESULTS


def _search(asked: JSON) -> dict[str, JSON]:
    query = asked.get("query") if isinstance(asked, dict) else None
    return {"type": "search", "query": query if isinstance(query, str) else ""}
