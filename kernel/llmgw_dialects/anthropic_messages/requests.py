"""Requests: read lazily, written back to the byte where nobody changed anything."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from llmgw import jsons
from llmgw.model import JSON, Item, Loss, McpServer, Prompt, RawDoc, Request, Tool, sourced
from llmgw.splice import splice
from llmgw.stages import Head
from llmgw_dialects.addressing import addressed
from llmgw_dialects.anthropic_messages.edits import Edits
from llmgw_dialects.anthropic_messages.names import NAME
from llmgw_dialects.anthropic_messages.settings import read_settings, write_settings
from llmgw_dialects.anthropic_messages.tools import (
    read_choice,
    read_server,
    read_tool,
    write_choice,
    write_server,
    write_tool,
)
from llmgw_dialects.anthropic_messages.turns import leading, leads, read_system, read_turn, write_system, write_turns
from llmgw_dialects.envelope import MARKS
from llmgw_dialects.fields import opt_bool
from llmgw_dialects.losses import Losses
from llmgw_dialects.opening import check_messages, listed, model_in, object_in

DEFAULT_OUTPUT: Final = 32_000
"""Tokens to ask for where nobody said; the field must be there."""

_PEEK: Final = jsons.peeker({"model": jsons.Once, "messages": [{"role": str}], "stream": bool | None})
_UNCOUNTED: Final = frozenset(
    {"max_tokens", "stream", "temperature", "top_p", "top_k", "stop_sequences", "metadata", "service_tier", "container",
     "diagnostics", "inference_geo", "thread", "fallbacks", "fallback_credit_token"}
)  # fmt: skip
"""Fields of a request that are no fields of one that counts its tokens."""

# ---- reading ------------------------------------------------------------------------------------


def read_request(head: Head, body: bytes, headers: Mapping[str, str]) -> Request:
    """Read what routing needs, and look no deeper than the roles of the messages.

    Args:
        head: what stands above the body.
        body: as it came.
        headers: those that mean something to a provider.
    """
    model, stream, tree = _peeked(body) or _envelope_of(body)
    return Request(
        dialect=NAME,
        model=model,
        stream=stream,
        stream_usage=stream,  # usage is always part of a stream
        operation="count_tokens" if head.operation == "count_tokens" else "generate",
        raw=RawDoc(NAME, body, model, stream, stream, tree),
        headers=headers,
        load=read_prompt,
    )


def _peeked(body: bytes) -> tuple[str, bool, JSON] | None:
    """Model and stream, without reading the rest; None where the body must be read to be understood."""
    seen = _PEEK(body) if _PEEK is not None else None
    if seen is None or not seen.model.text or not seen.messages:
        return None
    return seen.model.text, seen.stream is True, None


def _envelope_of(body: bytes) -> tuple[str, bool, JSON]:
    """Model, stream and the body, read; or what is wrong with it."""
    tree = object_in(body, '{"model": …, "max_tokens": …, "messages": […]}')
    model = model_in(tree)
    check_messages(tree.get("messages"))
    return model, opt_bool(tree, "stream", ()) or False, tree


def read_prompt(doc: RawDoc) -> Prompt:
    """Read all that the model is told.

    Raises:
        InvalidField: a field we know is of a type that it cannot have.
    """
    tree: dict[str, Any] = doc.tree
    tools: list[Tool] = []
    for n, value in listed(tree, "tools"):
        tools.append(sourced(read_tool(value, ("tools", n)), doc, ("tools", n), value))
    for n, value in listed(tree, "mcp_servers"):
        tools.append(sourced(read_server(value, ("mcp_servers", n)), doc, ("mcp_servers", n), value))
    items: list[Item] = [*read_system(tree, doc)]
    for n, value in enumerate(tree["messages"]):
        items += read_turn(value, doc, ("messages", n))
    return Prompt(items=tuple(items), tools=tuple(tools), **read_choice(tree), **read_settings(tree))


# ---- writing ------------------------------------------------------------------------------------


def encode_request(request: Request) -> tuple[bytes, list[Loss]]:
    """Write a request for a provider.

    Returns:
        The body, and what it could not say.
    """
    losses = Losses(NAME, request.dialect)
    raw = request.raw
    if raw is None or raw.dialect != NAME:
        return jsons.dumps(_written(request, losses)), losses.found
    if request.untouched and not any(mark in raw.data for mark in MARKS) and not _is_uncounted(request, raw):
        return addressed(raw, request.model, _stream(request, raw)), []
    template = Edits(raw, read_prompt(raw), losses).template(request.prompt)
    template.update(_stream(request, raw))
    if request.model != raw.model:
        template["model"] = request.model
    if request.operation == "count_tokens":
        template = {key: value for key, value in template.items() if key not in _UNCOUNTED}
    return splice(raw.data, template), losses.found


def _is_uncounted(request: Request, raw: RawDoc) -> bool:
    """Whether an ordinary request is to be counted, which some of its fields have no place in."""
    return request.operation == "count_tokens" and not _UNCOUNTED.isdisjoint(raw.tree)


def _stream(request: Request, raw: RawDoc) -> dict[str, Any]:
    return {} if request.stream == raw.stream else {"stream": request.stream}


def _written(request: Request, losses: Losses) -> dict[str, JSON]:
    """A body from scratch: always the same for the same request, with only what is set."""
    prompt, counts = request.prompt, request.operation == "count_tokens"
    out: dict[str, JSON] = {"model": request.model}
    settings = {"max_tokens": DEFAULT_OUTPUT, **write_settings(prompt, {}, losses)}
    out["max_tokens"] = settings.pop("max_tokens")
    if (system := write_system(leading(prompt.items), losses)) is not None:
        out["system"] = system
    out["messages"] = write_turns([item for item in prompt.items if not leads(item)], losses)
    if request.stream:
        out["stream"] = True
    tools = [entry for tool in prompt.tools for entry in _entries(tool, losses)]
    servers = [tool for tool in prompt.tools if isinstance(tool, McpServer)]
    listed = [entry for tool in servers if (entry := write_server(tool, losses)) is not None]
    if tools:
        out["tools"] = tools
        out |= write_choice(prompt.tool_choice, prompt.parallel_tools, losses)
    if listed:
        out["mcp_servers"] = listed
    out |= settings
    return {key: value for key, value in out.items() if key not in _UNCOUNTED} if counts else out


def _entries(tool: Tool, losses: Losses) -> list[dict[str, JSON]]:
    return [] if isinstance(tool, McpServer) and tool.url is None else write_tool(tool, losses)
