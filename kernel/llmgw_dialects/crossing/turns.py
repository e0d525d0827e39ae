"""Turns as the target takes them: not empty, the user first, and perhaps last."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from typing import Final

from attrs import evolve

from llmgw.model import CacheMark, Instruction, Item, Message, Part, Prompt, Reasoning, Text, ToolResult
from llmgw_dialects.crossing.legs import Step
from llmgw_dialects.crossing.revising import calls_in, revised
from llmgw_dialects.crossing.vendors import ANTHROPIC

_EMPTY: Final = "(empty)"
_BEFORE: Final = "(conversation continues)"
_GO_ON: Final = "Continue exactly from where you stopped; output only the continuation, without repeating text."


class Turns(Step):
    """Leaves out empty texts, and adds a turn of the user's where one must stand."""

    def prompt(self, prompt: Prompt) -> Prompt:
        """The prompt with such turns."""
        items = self._filled(prompt.items)
        if self.leg.profile.user_first:
            items = self._begun(items)
        return revised(prompt, items=self._ended(items))

    # ---- empty texts ----------------------------------------------------------------------------

    def _filled(self, items: tuple[Item, ...]) -> tuple[Item, ...]:
        out: list[Item] = []
        for item in items:
            kept, mark = self._without_blanks(item)
            if mark is not None and out:
                out[-1] = _marked(out[-1], mark)
            if isinstance(kept, Message | Instruction) and not kept.parts and not self.leg.profile.empty_text:
                out += self._placeholder(kept, out)
            else:
                out.append(kept)
        same = len(out) == len(items) and all(new is old for new, old in zip(out, items, strict=True))
        return items if same else tuple(out)

    def _without_blanks(self, item: Item) -> tuple[Item, CacheMark | None]:
        """An item without its empty texts, and a cache mark that none of its other parts can take."""
        if self.leg.profile.empty_text and (isinstance(item, ToolResult) or all(map(_is_blank, _parts(item)))):
            return item, None  # there it may stand alone; beside others it is of no use to anybody
        kept: list[Part] = []
        lost: CacheMark | None = None
        for part in _parts(item):
            if not _is_blank(part):
                kept.append(part)
                continue
            self.leg.losses.dropped("text.empty", node=part)
            if part.cache is not None and not _take_mark(kept, part.cache):
                lost = part.cache
        if len(kept) == len(_parts(item)):
            return item, None
        if isinstance(item, ToolResult) and lost is not None:
            return evolve(item, parts=tuple(kept), cache=item.cache or lost), None
        return evolve(item, parts=tuple(kept)), lost  # type: ignore[call-arg]  # what has parts takes parts

    def _placeholder(self, item: Message | Instruction, before: Sequence[Item]) -> Sequence[Item]:
        """What stands for an item of which nothing is left: a user's turn is kept where no other stands beside it."""
        last = before[-1] if before else None
        beside = isinstance(last, ToolResult) or (isinstance(last, Message) and last.role == "user")
        if isinstance(item, Message) and item.role == "user" and not beside:
            self.leg.losses.emulated("message.empty", _EMPTY, item)
            return (evolve(item, parts=(Text(_EMPTY),)),)
        self.leg.losses.dropped("message.empty", node=item)
        return ()

    # ---- first and last -------------------------------------------------------------------------

    def _begun(self, items: tuple[Item, ...]) -> tuple[Item, ...]:
        at = next((at for at, item in enumerate(items) if not isinstance(item, Instruction)), len(items))
        first = items[at] if at < len(items) else None
        if first is not None and not (isinstance(first, Message) and first.role == "assistant"):
            return items
        self.leg.losses.emulated("first_turn", "a user message", first)
        return (*items[:at], Message(role="user", parts=(Text(_BEFORE),), turn=first.turn if first else 0), *items[at:])

    def _ended(self, items: tuple[Item, ...]) -> tuple[Item, ...]:
        last = items[-1] if items else None
        if not isinstance(last, Message) or last.role != "assistant" or _calls_at_end(items):
            return items
        if not self.leg.profile.prefill:
            self.leg.losses.emulated("prefill", "a user message", last)
            return (*items, Message(role="user", parts=(Text(_GO_ON),), turn=last.turn))
        end = last.parts[-1] if last.parts else None  # white space at its end is refused by Anthropic
        if self.leg.target != ANTHROPIC or not isinstance(end, Text) or end.text == end.text.rstrip():
            return items
        self.leg.losses.approximated("prefill", "with white space at its end", "without", end)
        return (*items[:-1], evolve(last, parts=(*last.parts[:-1], evolve(end, text=end.text.rstrip()))))


def _parts(item: Item) -> tuple[Part, ...]:
    return item.parts if isinstance(item, Message | Instruction | ToolResult) else ()


def _calls_at_end(items: Sequence[Item]) -> bool:
    """Whether the assistant's last run calls tools; nobody has answered yet, for answers stand behind a run."""
    run = takewhile(lambda item: isinstance(item, Message) and item.role == "assistant", reversed(items))
    return next(calls_in(run), None) is not None


def _is_blank(part: Part) -> bool:
    """Whether a text says nothing; one that carries something for its provider does."""
    return isinstance(part, Text) and not part.text.strip() and part.carrier is None


def _take_mark(parts: list[Part], mark: CacheMark) -> bool:
    """Put a mark on the last part that may have one."""
    for at in reversed(range(len(parts))):
        if not isinstance(parts[at], Reasoning):
            parts[at] = parts[at] if parts[at].cache is not None else evolve(parts[at], cache=mark)
            return True
    return False


def _marked(item: Item, mark: CacheMark) -> Item:
    """An item with a mark at its end."""
    if isinstance(item, ToolResult):
        return item if item.cache is not None else evolve(item, cache=mark)
    parts = list(_parts(item))
    if not isinstance(item, Message | Instruction) or not _take_mark(parts, mark):
        return item
    return evolve(item, parts=tuple(parts))
