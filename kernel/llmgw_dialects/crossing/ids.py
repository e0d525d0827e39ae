"""Ids of calls, as the target and the client take them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from itertools import takewhile
from typing import Final

from attrs import define, evolve, field, frozen

from llmgw.events import BlockStart, Event
from llmgw.model import Item, Message, Prompt, ToolCall, ToolResult
from llmgw_dialects.crossing.legs import Heard, Leg, Step
from llmgw_dialects.crossing.revising import CALLS, each, revised, telling, with_parts
from llmgw_dialects.crossing.vendors import ANTHROPIC, CHAT, RESPONSES
from llmgw_dialects.ids import minted


@frozen
class _Form:
    """Which ids are taken."""

    pattern: re.Pattern[str]
    most: int

    def fits(self, ident: str) -> bool:
        """Whether this is one."""
        return len(ident) <= self.most and self.pattern.fullmatch(ident) is not None

    def made(self, *told: object) -> str:
        """One for what is told; cutting the id short would make two of two that begin alike."""
        ident = minted("call_", *told)
        if self.fits(ident):
            return ident
        digest = hashlib.sha256(ident.encode()).hexdigest()
        shorter = (digest[: self.most], "c" + digest[: self.most - 1], digest[: min(self.most, 9)])
        return next((short for short in shorter if self.fits(short)), digest[: self.most])


_ANY: Final = _Form(re.compile(r".+", re.DOTALL), 2**16)
_CLIENTS: Final = {
    ANTHROPIC: _Form(re.compile(r"[a-zA-Z0-9_-]+"), 2**16),
    CHAT: _Form(re.compile(r".+", re.DOTALL), 64),
    RESPONSES: _Form(re.compile(r".+", re.DOTALL), 64),
}


class Ids(Step):
    """Gives each call an id of its own that the other side takes, always the same one, and its result the same."""

    def __init__(self, leg: Leg) -> None:
        super().__init__(leg)
        self._theirs = _Form(re.compile(leg.profile.call_id, re.DOTALL), leg.profile.call_id_max)
        self._ours = _CLIENTS.get(leg.request.dialect, _ANY)
        self._met: set[str] = set()
        """The client's ids, in its history and in this reply."""

    def prompt(self, prompt: Prompt) -> Prompt:
        """The prompt with ids that fit."""
        pairs = _Pairs(self._theirs)
        items = each(prompt.items, lambda item: self._item(item, pairs))
        return revised(prompt, items=items)

    @property
    def hears(self) -> Heard:
        """Calls."""
        return (BlockStart,)

    def back(self, event: Event) -> Iterable[Event]:
        """A call with an id that the client takes and has not met."""
        if not isinstance(event, BlockStart) or event.kind not in CALLS:
            return (event,)
        given = event.meta.get("call_id")
        told = given if isinstance(given, str) else ""
        ident, count = told, 0
        while ident in self._met or not self._ours.fits(ident):
            ident = self._ours.made(told) if told and not count else self._ours.made(told, len(self._met), count)
            count += 1
        self._met.add(ident)
        return (event,) if ident == given else (telling(event, call_id=ident),)

    def _item(self, item: Item, pairs: _Pairs) -> Item:
        match item:
            case Message(role="assistant"):
                pairs.speaks()
                return with_parts(item, lambda part: self._call(part, pairs) if isinstance(part, ToolCall) else part)
            case ToolResult():
                pairs.answers()
                ident = pairs.of_result(item)
                return item if ident == item.call_id else evolve(item, call_id=ident)
            case _:
                pairs.answers()
                return item

    def _call(self, call: ToolCall, pairs: _Pairs) -> ToolCall:
        self._met.add(call.call_id)
        ident = pairs.of_call(call)
        if ident == call.call_id:
            return call
        self.leg.losses.approximated("tool_call.id", call.call_id, ident, call)
        return evolve(call, call_id=ident)


@define
class _Pair:
    ident: str
    name: str
    run: int
    answered: bool = False


@define(eq=False)
class _Pairs:
    """Which call a result belongs to, where ids repeat: the first unanswered one of the last run that has such a call.

    A result without an id belongs to the first call of the last run that has none yet.
    """

    _form: _Form
    _pairs: dict[str, list[_Pair]] = field(factory=dict)
    _used: set[str] = field(factory=set)
    _said: list[_Pair] = field(factory=list)
    """Those of the last run."""
    _run: int = 0
    _speaking: bool = False

    def speaks(self) -> None:
        """The assistant says something."""
        if not self._speaking:
            self._run += 1
            self._said = []
        self._speaking = True

    def answers(self) -> None:
        """Somebody else does."""
        self._speaking = False

    def of_call(self, call: ToolCall) -> str:
        """The id of a call."""
        before = self._pairs.setdefault(call.call_id, [])
        told = (call.call_id, len(before)) if before or not call.call_id else (call.call_id,)
        ident = call.call_id if self._form.fits(call.call_id) and not before else self._form.made(*told)
        ident = self._unused(ident)
        self._used.add(ident)
        pair = _Pair(ident, call.name, self._run)
        before.append(pair)
        self._said.append(pair)
        return ident

    def of_result(self, result: ToolResult) -> str:
        """The id of a result; of one without a call, one that no call has."""
        pairs = self._pairs.get(result.call_id) or ([] if result.call_id else self._said)
        last = list(takewhile(lambda pair: pair.run == pairs[-1].run, reversed(pairs)))[::-1]
        waiting = [pair for pair in last if not pair.answered]
        named = [pair for pair in waiting if result.name and pair.name == result.name]
        found = (named or waiting or last)[:1]
        if not found:
            ident = result.call_id
            return self._unused(ident if self._form.fits(ident) else self._form.made(ident))
        found[0].answered = True
        return found[0].ident

    def _unused(self, ident: str) -> str:
        while ident in self._used:
            ident = self._form.made(ident, "again")
        return ident
