"""The ``response`` object: what the client asked for, said back to it, and what came of it."""

from __future__ import annotations

from typing import Any, Final

from llmgw.events import ResponseStart
from llmgw.model import JSON, Prompt, Request
from llmgw_dialects.ids import minted
from llmgw_dialects.losses import Losses
from llmgw_dialects.openai_responses.names import NAME, given
from llmgw_dialects.openai_responses.settings import write_settings
from llmgw_dialects.openai_responses.tools import write_choice, write_tool

_ECHOED: Final[dict[str, JSON]] = {
    "background": False,
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "prompt_cache_key": None,
    "reasoning": {"effort": None, "summary": None},
    "safety_identifier": None,
    "service_tier": "default",
    "store": False,
    "temperature": 1.0,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_logprobs": 0,
    "top_p": 1.0,
    "truncation": "disabled",
    "user": None,
}
"""What a response says of its request, where that says nothing."""
_OPTIONAL: Final = ("conversation", "prompt", "prompt_cache_options", "prompt_cache_retention")


def response(start: ResponseStart | None, request: Request) -> dict[str, JSON]:
    """A response in which nothing has been said yet.

    Args:
        start: what is known of the reply.
        request: what it answers.
    """
    start = start or ResponseStart()
    own = start.frame is None or start.frame.dialect == NAME
    ident = start.id or minted("resp_", start.created, start.model, request.model)
    return {
        "id": ident if own or ident.startswith("resp_") else f"resp_{ident}",
        "object": "response",
        "created_at": start.created or 0,
        "status": "in_progress",
        "completed_at": None,
        "error": None,
        "incomplete_details": None,
        "model": start.model or request.model,
        "output": [],
        "usage": None,
        **_echo(request),
    }


def declares(request: Request, kind: str) -> bool:
    """Whether the client has asked for a tool of OpenAI's making."""
    tools: Any = request.raw.tree.get("tools") if request.raw is not None and request.raw.dialect == NAME else None
    if not isinstance(tools, list):
        return any(str(getattr(tool, "kind", "")).startswith(kind) for tool in _prompt(request).tools)
    return any(isinstance(tool, dict) and str(tool.get("type", "")).startswith(kind) for tool in tools)


def _echo(request: Request) -> dict[str, JSON]:
    asked = _asked(request)
    out = {key: default if asked.get(key) is None else asked[key] for key, default in _ECHOED.items()}
    for key in ("text", "reasoning"):
        default = _ECHOED[key]
        if isinstance(out[key], dict) and isinstance(default, dict):
            out[key] = {**default, **out[key]}
    if isinstance(asked.get("conversation"), str):
        asked = {**asked, "conversation": {"id": asked["conversation"]}}
    return {**out, **{key: asked[key] for key in _OPTIONAL if asked.get(key) is not None}}


def _asked(request: Request) -> dict[str, Any]:
    """The client's own fields, or what a request of another dialect amounts to."""
    if request.raw is not None and request.raw.dialect == NAME:
        tree: dict[str, Any] = request.raw.tree
        return tree
    prompt, losses = _prompt(request), Losses(NAME)
    tools = [entry for tool in prompt.tools if (entry := write_tool(tool, losses)) is not None]
    settings = write_settings(prompt, losses, own=True)
    return {**settings, **write_choice(prompt.tool_choice, losses), **given(tools=tools or None)}


def _prompt(request: Request) -> Prompt:
    return request.prompt
