"""A history without its oldest turns."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Final

from attrs import frozen

from llmgw.model import Compaction, ConfigUpdate, Instruction, Item, Message, ToolCall, ToolResult, ToolSetChange

_STAYING: Final = (Instruction, ToolSetChange, ConfigUpdate, Compaction)
"""What holds for all that comes behind it."""


@frozen
class Shorter:
    """A history that was cut.

    Args:
        items: that are left.
        dropped: how many are gone.
        freed: their sizes together.
    """

    items: tuple[Item, ...]
    dropped: int
    freed: float


def shortened(items: Sequence[Item], sizes: Sequence[float], excess: float, step: float) -> Shorter | None:
    """Leave out the oldest turns; what is left begins with a user's message, and with each call goes its result.

    Args:
        items: the whole history; its last turn, from the user's last message on, and all instructions stay.
        sizes: of each item.
        excess: how much must go at least.
        step: goes at once, where the history has so much: the next turns of a conversation then have the same beginning.

    Returns:
        The shorter history, or None where it cannot be made short enough.
    """
    wanted = math.ceil(excess / step) * step if step > 0 else excess
    found: Shorter | None = None
    for place, freed in _places(items, sizes):
        found = Shorter(*_without(items, place), freed)
        if freed >= wanted:
            return found
    return found if found is not None and found.freed >= excess else None


def _without(items: Sequence[Item], place: int) -> tuple[tuple[Item, ...], int]:
    staying = [one for one in items[:place] if isinstance(one, _STAYING)]
    return (*staying, *items[place:]), place - len(staying)


def _places(items: Sequence[Item], sizes: Sequence[float]) -> Iterator[tuple[int, float]]:
    """Where a history may be cut, each with what goes if it is."""
    ends = _ends(items)
    freed, paired = 0.0, -1
    for place, item in enumerate(items):
        if freed and paired < place and isinstance(item, Message) and item.role == "user":
            yield place, freed
        paired = max(paired, ends[place])
        freed += 0.0 if isinstance(item, _STAYING) else sizes[place]


def _ends(items: Sequence[Item]) -> list[int]:
    """Of each item, where the last result of its calls stands; a name that is used again means the last call."""
    ends, callers = [-1] * len(items), dict[str, int]()
    for place, item in enumerate(items):
        if isinstance(item, ToolResult) and item.call_id in callers:
            ends[callers[item.call_id]] = place
        callers |= {part.call_id: place for part in getattr(item, "parts", ()) if isinstance(part, ToolCall)}
    return ends
