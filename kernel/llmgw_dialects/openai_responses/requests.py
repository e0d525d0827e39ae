"""Requests: read lazily, written back to the byte where nobody changed anything."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

from llmgw import jsons
from llmgw.errors import InvalidField
from llmgw.model import JSON, Loss, Prompt, RawDoc, Request, sourced
from llmgw.splice import splice
from llmgw_dialects.addressing import addressed
from llmgw_dialects.fields import invalid, opt_bool, opt_list
from llmgw_dialects.losses import Losses
from llmgw_dialects.openai_responses.edits import Edits
from llmgw_dialects.openai_responses.inputs import ItemsWriter, split_instructions
from llmgw_dialects.openai_responses.items import read_items
from llmgw_dialects.openai_responses.names import NAME
from llmgw_dialects.openai_responses.settings import read_settings, write_settings
from llmgw_dialects.openai_responses.tools import read_choice, read_tool, write_choice, write_tool
from llmgw_dialects.opening import model_in, object_in

Operation = Literal["generate", "count_tokens", "compact"]

_PEEK: Final = jsons.peeker({"model": jsons.Once, "input": [{"type": str | None}], "stream": bool | None})
_COUNTED: Final = frozenset(
    {"model", "input", "instructions", "tools", "tool_choice", "parallel_tool_calls", "reasoning", "text", "conversation",
     "previous_response_id", "truncation"}
)  # fmt: skip
"""What a question for the number of tokens may have."""
_COMPACTED: Final = frozenset({"model", "input", "instructions", "previous_response_id", "prompt_cache_key"})

# ---- reading ------------------------------------------------------------------------------------


def read_request(body: bytes, headers: Mapping[str, str], operation: Operation) -> Request:
    """Read what routing needs, and look no deeper than the types of the items.

    Args:
        body: as it came.
        headers: those that mean something to a provider.
        operation: what is asked.
    """
    model, stream, tree = _peeked(body) or _envelope_of(body)
    return Request(
        dialect=NAME,
        model=model,
        stream=stream,
        stream_usage=True,
        operation=operation,
        raw=RawDoc(NAME, body, model, stream, True, tree),
        headers=headers,
        load=read_prompt,
    )


def _peeked(body: bytes) -> tuple[str, bool, JSON] | None:
    """Model and stream, without reading the rest; None where the body must be read to be understood."""
    seen = _PEEK(body) if _PEEK is not None else None
    if seen is None or not seen.model.text:
        return None
    return seen.model.text, seen.stream is True, None


def _envelope_of(body: bytes) -> tuple[str, bool, JSON]:
    """Model, stream and the body, read; or what is wrong with it."""
    tree = object_in(body, '{"model": …, "input": …}')
    model = model_in(tree)
    _check_input(tree)
    return model, opt_bool(tree, "stream", ()) or False, tree


def _check_input(tree: dict[str, Any]) -> None:
    given = tree.get("input")
    if given is None:
        if not any(tree.get(key) for key in ("prompt", "previous_response_id", "conversation", "instructions")):
            raise InvalidField("You must say something: 'input' must be a string or an array of items.", param="input")
        return
    if not isinstance(given, str | list):
        raise invalid(("input",), "a string or an array of objects", given)
    for n, item in enumerate(given if isinstance(given, list) else ()):
        if not isinstance(item, dict):
            raise invalid(("input", n), "an object", item)


def read_prompt(doc: RawDoc) -> Prompt:
    """Read all that the model is told.

    Raises:
        InvalidField: a field we know is of a type that it cannot have.
    """
    tree: dict[str, Any] = doc.tree
    listed = enumerate(opt_list(tree, "tools", ()) or ())
    return Prompt(
        items=read_items(tree, doc),
        tools=tuple(sourced(read_tool(tool, ("tools", n)), doc, ("tools", n), tool) for n, tool in listed),
        tool_choice=read_choice(tree),
        **read_settings(tree),
    )


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
    stream = {"stream": request.stream} if request.stream != raw.stream else {}
    if request.untouched:
        return addressed(raw, request.model, stream), []
    template = Edits(raw, read_prompt(raw), losses).template(request.prompt)
    template.update(stream)
    if request.model != raw.model:
        template["model"] = request.model
    return splice(raw.data, template), losses.found


def _written(request: Request, losses: Losses) -> dict[str, JSON]:
    """A body from scratch: always the same for the same request, with only what is set."""
    prompt = request.prompt
    instructions, items = split_instructions(prompt.items)
    out: dict[str, JSON] = {"model": request.model}
    if instructions is not None:
        out["instructions"] = instructions
    out["input"] = ItemsWriter(losses).write(items)
    if request.stream:
        out["stream"] = True
    tools = [entry for tool in prompt.tools if (entry := write_tool(tool, losses)) is not None]
    if tools:
        out["tools"] = tools
    if tools or (prompt.tool_choice is not None and prompt.tool_choice.mode == "none"):
        out |= write_choice(prompt.tool_choice, losses)
    out |= write_settings(prompt, losses)
    if request.operation == "count_tokens":
        return {key: value for key, value in out.items() if key in _COUNTED}
    if request.operation == "compact":
        return {key: value for key, value in out.items() if key in _COMPACTED}
    return out
