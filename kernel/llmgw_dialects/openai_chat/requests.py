"""Requests: read lazily, written back to the byte where nobody changed anything."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from llmgw import jsons
from llmgw.model import JSON, BuiltinTool, Loss, Prompt, RawDoc, Request, sourced
from llmgw.splice import KEEP, splice
from llmgw_dialects.addressing import addressed
from llmgw_dialects.fields import opt_bool, opt_object
from llmgw_dialects.losses import Losses
from llmgw_dialects.openai_chat.edits import Edits
from llmgw_dialects.openai_chat.messages import read_messages, write_items
from llmgw_dialects.openai_chat.names import NAME
from llmgw_dialects.openai_chat.settings import read_settings, write_settings
from llmgw_dialects.openai_chat.tools import (
    read_choice,
    read_function,
    read_tool,
    read_web_search,
    write_choice,
    write_tool,
    write_web_search,
)
from llmgw_dialects.opening import check_messages, listed, model_in, object_in

_PEEK: Final = jsons.peeker(
    {"model": jsons.Once, "messages": [{"role": str}], "stream": bool | None, "stream_options": dict[str, Any] | None}
)

# ---- reading ------------------------------------------------------------------------------------


def read_request(body: bytes, headers: Mapping[str, str]) -> Request:
    """Read what routing needs, and look no deeper than the roles of the messages.

    Args:
        body: as it came.
        headers: those that mean something to a provider.
    """
    model, stream, usage, tree = _peeked(body) or _envelope_of(body)
    return Request(
        dialect=NAME,
        model=model,
        stream=stream,
        stream_usage=usage,
        raw=RawDoc(NAME, body, model, stream, usage, tree),
        headers=headers,
        load=read_prompt,
    )


def _peeked(body: bytes) -> tuple[str, bool, bool, JSON] | None:
    """Model, stream and usage, without reading the rest; None where the body must be read to be understood."""
    seen = _PEEK(body) if _PEEK is not None else None
    if seen is None or not seen.model.text or not seen.messages:
        return None
    options = seen.stream_options
    return seen.model.text, seen.stream is True, options is not None and options.get("include_usage") is True, None


def _envelope_of(body: bytes) -> tuple[str, bool, bool, JSON]:
    """Model, stream, usage and the body, read; or what is wrong with it."""
    tree = object_in(body, '{"model": …, "messages": […]}')
    model = model_in(tree)
    check_messages(tree.get("messages"))
    options = opt_object(tree, "stream_options", ()) or {}
    return model, opt_bool(tree, "stream", ()) or False, options.get("include_usage") is True, tree


def read_prompt(doc: RawDoc) -> Prompt:
    """Read all that the model is told.

    Raises:
        InvalidField: a field we know is of a type that it cannot have.
    """
    tree: dict[str, Any] = doc.tree
    tools = [sourced(read_tool(tool, ("tools", n)), doc, ("tools", n), tool) for n, tool in listed(tree, "tools")]
    tools += [
        sourced(read_function(tool, ("functions", n)), doc, ("functions", n), tool) for n, tool in listed(tree, "functions")
    ]
    if (search := opt_object(tree, "web_search_options", ())) is not None:
        tools.append(sourced(read_web_search(search), doc, ("web_search_options",), search))
    return Prompt(
        items=read_messages(tree["messages"], doc),
        tools=tuple(tools),
        tool_choice=read_choice(tree),
        **read_settings(tree),
    )


# ---- writing ------------------------------------------------------------------------------------


def encode_request(request: Request, limit: str = "max_completion_tokens") -> tuple[bytes, list[Loss]]:
    """Write a request for a provider.

    Args:
        request: of any dialect.
        limit: the field that limits the answer, where the body does not say.

    Returns:
        The body, and what it could not say.
    """
    losses = Losses(NAME, request.dialect)
    raw = request.raw
    if raw is None or raw.dialect != NAME:
        return jsons.dumps(_written(request, losses, limit)), losses.found
    if request.untouched:
        changes = _envelope(request, raw)
        changes.pop("model", None)
        return addressed(raw, request.model, changes), []
    template = Edits(raw, read_prompt(raw), losses).template(request.prompt)
    template.update(_envelope(request, raw))
    return splice(raw.data, template), losses.found


def _written(request: Request, losses: Losses, limit: str) -> dict[str, JSON]:
    """A body from scratch: always the same for the same request, with only what is set."""
    prompt = request.prompt
    out: dict[str, JSON] = {"model": request.model, "messages": write_items(prompt.items, losses)}
    if request.stream:
        out["stream"] = True
        if request.stream_usage:
            out["stream_options"] = {"include_usage": True}
    tools: list[JSON] = []
    for tool in prompt.tools:
        if isinstance(tool, BuiltinTool) and tool.kind == "web_search":
            out["web_search_options"] = write_web_search(tool, losses)
        else:
            tools += write_tool(tool, losses)
    if tools:
        out["tools"] = tools
    if tools or (prompt.tool_choice is not None and prompt.tool_choice.mode == "none"):
        out |= write_choice(prompt.tool_choice, False, losses)
    return {**out, **write_settings(prompt, {limit: 0}, losses)}


def _envelope(request: Request, raw: RawDoc) -> dict[str, Any]:
    """The fields outside the prompt that are not what the body says."""
    changes: dict[str, Any] = {}
    if request.model != raw.model:
        changes["model"] = request.model
    if request.stream != raw.stream:
        changes["stream"] = request.stream
    if request.stream_usage != raw.stream_usage:
        options = raw.tree.get("stream_options") or {}
        changes["stream_options"] = {**dict.fromkeys(options, KEEP), "include_usage": request.stream_usage}
    return changes
