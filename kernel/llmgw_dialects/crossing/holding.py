"""What kinds of things a prompt holds, found once: most rules concern what most prompts lack."""

from __future__ import annotations

from collections.abc import Iterable

from llmgw.model import FunctionTool, Namespace, Prompt, Text, Tool, ToolCall, ToolResult

Kind = type | str
"""A class of node, or a word for a property of one.

The words: ``custom``, ``builtin``, ``namespace``, ``caller``, ``carrier``, ``deferred``.
"""


def kinds(prompt: Prompt) -> frozenset[Kind]:
    """All kinds of items, parts and tools in a prompt."""
    found: set[Kind] = set()
    for item in prompt.items:
        found.add(type(item))
        for part in getattr(item, "parts", ()):
            found.add(type(part))
            if isinstance(part, ToolCall):
                found.update(_of_call(part))
            elif isinstance(part, Text) and part.carrier is not None:
                found.add("carrier")
        if isinstance(item, ToolResult):
            found.add(item.kind)
    _of_tools(prompt.tools, found)
    for ref in prompt.tool_choice.names if prompt.tool_choice is not None else ():
        found.add(ref.kind)
        if ref.namespace:
            found.add("namespace")
    return frozenset(found)


def _of_call(call: ToolCall) -> Iterable[Kind]:
    yield call.kind
    if call.namespace:
        yield "namespace"
    if call.caller is not None:
        yield "caller"
    if call.carrier is not None:
        yield "carrier"


def _of_tools(tools: Iterable[Tool], found: set[Kind]) -> None:
    for tool in tools:
        found.add(type(tool))
        if getattr(tool, "namespace", None):
            found.add("namespace")
        if isinstance(tool, FunctionTool) and (tool.defer_loading or tool.allowed_callers):
            found.add("deferred")
        if isinstance(tool, Namespace):
            _of_tools(tool.tools, found)
