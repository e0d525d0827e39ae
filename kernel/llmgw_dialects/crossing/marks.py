"""Prompt caching: the client's marks as far as they go, and marks of our own where a provider caches nothing without.

Our marks stand where the next request will have the same prefix: behind the tools, behind the instructions, and behind the last
two turns of the user.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from attrs import define, evolve

from llmgw.model import (
    CacheMark,
    CachePolicy,
    Instruction,
    Item,
    Message,
    Node,
    Part,
    Prompt,
    Reasoning,
    Text,
    ToolCall,
    ToolResult,
)
from llmgw_dialects.crossing.legs import Step
from llmgw_dialects.crossing.revising import revised
from llmgw_dialects.crossing.vendors import ANTHROPIC, OPENAI

_POLICY: Final = {"key": "prompt_cache_key", "mode": "prompt_cache_options", "ttl": "prompt_cache_options",
                  "retention": "prompt_cache_retention"}  # fmt: skip
"""OpenAI's words, which a compatible vendor may refuse."""

Place = tuple[str, int, int]
"""Where a mark stands: among the tools or the items, at which, and on which part; -1 for the item itself."""


@define(eq=False)
class _Marked:
    """A prompt whose marks are moved about."""

    prompt: Prompt

    def found(self) -> Iterator[tuple[Place, Node]]:
        """Where there are marks, in the order in which a provider reads."""
        for number, tool in enumerate(self.prompt.tools):
            if tool.cache is not None:
                yield ("tools", number, -1), tool
        for number, item in enumerate(self.prompt.items):
            for at, part in enumerate(getattr(item, "parts", ())):
                if part.cache is not None:
                    yield ("items", number, at), part
            if getattr(item, "cache", None) is not None:
                yield ("items", number, -1), item

    def put(self, place: Place, mark: CacheMark | None) -> None:
        """Put a mark there, or take it away."""
        kind, number, at = place
        nodes: list[Node] = list(getattr(self.prompt, kind))
        node = nodes[number]
        if at < 0:
            nodes[number] = evolve(node, cache=mark)  # type: ignore[call-arg]  # a tool, an instruction or a result
        else:
            parts: list[Part] = list(node.parts)  # type: ignore[attr-defined]  # an item with parts
            parts[at] = evolve(parts[at], cache=mark)
            nodes[number] = evolve(node, parts=tuple(parts))  # type: ignore[call-arg]
        changes: dict[str, Any] = {kind: tuple(nodes)}
        self.prompt = evolve(self.prompt, **changes)


class Marks(Step):
    """Cache marks that the provider takes, as many as it takes; the latest count most."""

    def prompt(self, prompt: Prompt) -> Prompt:
        """The prompt with such marks, and with what of the policy the provider knows."""
        known, marked = self.leg.profile, _Marked(prompt)
        given = list(marked.found())
        kept = 0
        for place, node in reversed(given):
            if kept < known.marks_max and self._moved(marked, place, self._translated(node)):
                kept += 1
            else:
                marked.put(place, None)
                self.leg.losses.dropped("cache.mark", node=node)
        if known.automatic_marks and not given and prompt.cache.auto is None:
            for place in _stable(prompt)[: known.marks_max]:
                marked.put(place, CacheMark())
        return revised(marked.prompt, cache=self._policy(prompt.cache))

    def _translated(self, node: Node) -> CacheMark:
        """The mark on a node, without the words of a dialect that the target does not speak."""
        mark: CacheMark = node.cache  # type: ignore[attr-defined]  # it was found there
        kin = self.leg.request.dialect in OPENAI and self.leg.target in OPENAI
        return mark if kin or mark.raw is None else evolve(mark, raw=None)

    def _moved(self, marked: _Marked, place: Place, mark: CacheMark) -> bool:
        """Whether a mark may stay, maybe on a part before it that can have one."""
        kind, number, at = place
        if kind == "tools":
            marked.put(place, mark)
            return self.leg.target == ANTHROPIC
        item = marked.prompt.items[number]
        parts: tuple[Part, ...] = getattr(item, "parts", ())
        if self.leg.target in OPENAI and not isinstance(item, Instruction) and getattr(item, "role", "") != "user":
            return False
        to = next((spot for spot in range(len(parts) - 1 if at < 0 else at, -1, -1) if _takes(parts[spot])), None)
        if at < 0 and isinstance(item, ToolResult):
            to = at
        if to is None or (to != at and parts[to].cache is not None):
            return False
        marked.put(place, None)
        marked.put((kind, number, to), mark)
        return True

    def _policy(self, policy: CachePolicy) -> CachePolicy:
        """The settings of caching that the provider knows."""
        openai = self.leg.target in OPENAI
        kept: dict[str, Any] = {}
        for name, word in _POLICY.items():
            value = getattr(policy, name)
            if value is not None and (not openai or word in self.leg.profile.refuses):
                kept[name] = None
                self.leg.losses.dropped(f"cache.{name}", str(value))
        if policy.auto is not None and self.leg.target != ANTHROPIC:
            kept |= {"auto": None, "auto_ttl": None}
        return evolve(policy, **kept) if kept else policy


def _stable(prompt: Prompt) -> list[Place]:
    """Where to put marks of our own."""
    places: list[Place] = [("tools", len(prompt.tools) - 1, -1)] if prompt.tools else []
    items = prompt.items
    leading = [number for number, item in enumerate(items) if isinstance(item, Instruction) and item.leading and _last(item)]
    if leading:
        places.append(("items", leading[-1], _last_at(items[leading[-1]])))
    ends = [number for number, item in enumerate(items) if _is_users(item) and _closes(items, number) and _last(item)]
    return places + [("items", number, _last_at(items[number])) for number in ends[-2:]]


def _is_users(item: Item) -> bool:
    return isinstance(item, ToolResult) or (isinstance(item, Message) and item.role == "user")


def _closes(items: tuple[Item, ...], number: int) -> bool:
    """Whether a user's turn ends here: the model speaks next, or nobody."""
    rest = (item for item in items[number + 1 :] if isinstance(item, (Message, ToolResult)))
    return (after := next(rest, None)) is None or not _is_users(after)


def _last(item: Item) -> bool:
    """Whether an item can have a mark at its end."""
    return isinstance(item, ToolResult) or any(_takes(part) for part in getattr(item, "parts", ()))


def _last_at(item: Item) -> int:
    if isinstance(item, ToolResult):
        return -1
    parts: tuple[Part, ...] = getattr(item, "parts", ())
    return max(at for at, part in enumerate(parts) if _takes(part))


def _takes(part: Part) -> bool:
    """Whether a part may have a mark: thoughts and empty texts may not."""
    if isinstance(part, Text):
        return bool(part.text.strip())
    return not isinstance(part, (Reasoning, ToolCall))
