"""Changed copies of prompts and events that share with the original whatever did not change."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final, TypeVar

from attrs import evolve

from llmgw.events import BlockKind, BlockStart, Event
from llmgw.model import Item, Message, Namespace, Part, Prompt, Tool, ToolCall, ToolChoice, ToolRef

_T = TypeVar("_T")

CALLS: Final[frozenset[BlockKind]] = frozenset({"tool_call", "custom_tool_call"})
"""Blocks in which the model wants a tool of the client's run."""


def each(nodes: tuple[_T, ...], change: Callable[[_T], _T | None]) -> tuple[_T, ...]:
    """These nodes, each changed; None leaves it out. The very same tuple where nothing changed."""
    out: list[_T] | None = None
    for number, node in enumerate(nodes):  # nearly always nothing changes, and then nothing is made
        made = change(node)
        if out is None:
            if made is node:
                continue
            out = list(nodes[:number])
        if made is not None:
            out.append(made)
    return nodes if out is None else tuple(out)


def many(nodes: tuple[_T, ...], change: Callable[[_T], Iterable[_T]]) -> tuple[_T, ...]:
    """These nodes, each become some. The very same tuple where nothing changed."""
    return _shared(nodes, [made for node in nodes for made in change(node)])


def revised(prompt: Prompt, **changes: Any) -> Prompt:
    """The prompt with these fields; the prompt itself where they are what it has."""
    new = {name: value for name, value in changes.items() if value is not getattr(prompt, name)}
    return evolve(prompt, **new) if new else prompt


def calls_in(items: Iterable[Item]) -> Iterator[ToolCall]:
    """The calls of a history, in their order."""
    for item in items:
        if isinstance(item, Message):
            yield from (part for part in item.parts if isinstance(part, ToolCall))


def with_parts(item: Item, change: Callable[[Part], Part | None]) -> Item:
    """A message with its parts changed; another item as it is."""
    if not isinstance(item, Message):
        return item
    parts = each(item.parts, change)
    return item if parts is item.parts else evolve(item, parts=parts)


def with_calls(items: tuple[Item, ...], change: Callable[[ToolCall], ToolCall]) -> tuple[Item, ...]:
    """A history with its calls changed."""
    return each(items, lambda item: with_parts(item, lambda part: change(part) if isinstance(part, ToolCall) else part))


def tools_in(tools: Iterable[Tool]) -> Iterator[Tool]:
    """All tools, those in namespaces among them; not the namespaces."""
    for tool in tools:
        if isinstance(tool, Namespace):
            yield from tools_in(tool.tools)
        else:
            yield tool


def with_tools(tools: tuple[Tool, ...], change: Callable[[Tool], Tool | None]) -> tuple[Tool, ...]:
    """Tools changed, also within namespaces; None leaves one out."""

    def inner(tool: Tool) -> Tool | None:
        if not isinstance(tool, Namespace):
            return change(tool)
        within = with_tools(tool.tools, change)
        return tool if within is tool.tools else evolve(tool, tools=within)

    return each(tools, inner)


def with_refs(choice: ToolChoice | None, change: Callable[[ToolRef], ToolRef | None]) -> ToolChoice | None:
    """A choice whose tools are named otherwise."""
    if choice is None:
        return None
    names = each(choice.names, change)
    return choice if names is choice.names else evolve(choice, names=names)


def called(event: Event) -> str | None:
    """The name of the tool that a block begins to call; None for any other event."""
    if not isinstance(event, BlockStart) or event.kind not in CALLS:
        return None
    name = event.meta.get("name")
    return name if isinstance(name, str) else None


def telling(event: Event, **meta: Any) -> Event:
    """The start of a block with other facts; None takes one away."""
    assert isinstance(event, BlockStart), "only the start of a block has facts"
    facts = {name: value for name, value in {**event.meta, **meta}.items() if value is not None}
    return evolve(event, meta=facts)


def _shared(nodes: tuple[_T, ...], made: Sequence[_T]) -> tuple[_T, ...]:
    same = len(made) == len(nodes) and all(new is old for new, old in zip(made, nodes, strict=True))
    return nodes if same else tuple(made)
