"""Each call with exactly one result, right behind the run of the assistant in which it stands."""

from __future__ import annotations

from typing import Final

from attrs import define, evolve, field

from llmgw import jsons
from llmgw.model import Item, Message, Part, Prompt, Reasoning, Text, ToolCall, ToolResult, texts
from llmgw_dialects.crossing.legs import Step
from llmgw_dialects.crossing.revising import calls_in, each, revised, with_parts
from llmgw_dialects.crossing.vendors import CHAT, RESPONSES
from llmgw_dialects.losses import Losses

_MISSING: Final = "No result was recorded for this tool call."


class Results(Step):
    """Puts results where they belong: lost ones are replaced, those of no call become words, of several the last one counts."""

    def prompt(self, prompt: Prompt) -> Prompt:
        """The prompt with its calls and results in pairs."""
        items = prompt.items
        if not any(isinstance(item, ToolResult) for item in items) and next(calls_in(items), None) is None:
            return prompt
        target = self.leg.target
        pairing = _Pairing(self.leg.losses, nameless=target == CHAT, continues=target == RESPONSES)
        for at, item in enumerate(items):
            pairing.read(item, at)
        return revised(prompt, items=pairing.written(items))


@define(eq=False)
class _Placed:
    """An item, and where it stood; nowhere, where there was none."""

    item: Item
    at: int | None


@define(eq=False)
class _Run:
    """What the assistant says at a stretch, with the results of its calls, and what follows."""

    said: list[_Placed] = field(factory=list)
    results: dict[str, _Placed] = field(factory=dict)
    rest: list[_Placed] = field(factory=list)

    @property
    def calls(self) -> list[ToolCall]:
        """Its calls."""
        return list(calls_in(placed.item for placed in self.said))


@define(eq=False)
class _Pairing:
    """Gathers a history by runs of the assistant, and writes it with each result behind its run.

    Args:
        losses: takes what is changed.
        nameless: whether results have their calls' ids and not their names.
        continues: whether a conversation may end with calls that have no result yet.
    """

    losses: Losses
    nameless: bool
    continues: bool
    _runs: list[_Run] = field(factory=lambda: [_Run()])
    _calls: dict[str, tuple[_Run, ToolCall]] = field(factory=dict)
    _speaking: bool = False

    def read(self, item: Item, at: int) -> None:
        """Take the next item."""
        if isinstance(item, Message) and item.role == "assistant":
            if not self._speaking:
                self._runs.append(_Run())
            self._speaking = True
            self._runs[-1].said.append(_Placed(item, at))
            self._calls |= {call.call_id: (self._runs[-1], call) for call in calls_in([item])}
            return
        self._speaking = False
        if isinstance(item, ToolResult):
            self._result(item, at)
        else:
            self._runs[-1].rest.append(_Placed(item, at))

    def written(self, items: tuple[Item, ...]) -> tuple[Item, ...]:
        """All items; the very same where nothing changed."""
        last = self._runs[-1]
        if last.calls and not last.results and not last.rest and not self.continues:
            self._cut(last)
        waits = last if self.continues and not last.rest and not last.results else None
        out: list[_Placed] = []
        for run in self._runs:
            out += [*run.said, *([] if run is waits else self._answers(run)), *run.rest]
        self._note_order(out)
        same = len(out) == len(items) and all(placed.item is items[at] for at, placed in enumerate(out))
        return items if same else tuple(placed.item for placed in out)

    def _result(self, item: ToolResult, at: int) -> None:
        found = self._calls.get(item.call_id)
        if found is None:
            self.losses.emulated("tool_result.orphan", "user text", item)
            self._runs[-1].rest.append(_Placed(_as_words(item), at))
            return
        run, call = found
        if (other := run.results.get(item.call_id)) is not None:
            self.losses.dropped("tool_result.duplicate", node=other.item)
        name = None if self.nameless else call.name
        fits = (item.name, item.kind) == (name, call.kind)
        run.results[item.call_id] = _Placed(item if fits else evolve(item, name=name, kind=call.kind), at)

    def _answers(self, run: _Run) -> list[_Placed]:
        return [run.results.get(call.call_id) or self._missing(call, run) for call in run.calls]

    def _missing(self, call: ToolCall, run: _Run) -> _Placed:
        self.losses.emulated("tool_result.missing", "an error", call)
        name = None if self.nameless else call.name
        turn = run.said[-1].item.turn
        made = ToolResult(call_id=call.call_id, parts=(Text(_MISSING),), name=name, kind=call.kind, is_error=True, turn=turn)
        return _Placed(made, None)

    def _cut(self, run: _Run) -> None:
        """Take the calls from the end of a conversation that nobody has answered yet."""
        for call in run.calls:
            self.losses.dropped("tool_call", "without a result at the end", call)
        for placed in run.said:
            placed.item = with_parts(placed.item, lambda part: None if isinstance(part, ToolCall) else part)
        if all(isinstance(part, Reasoning) for placed in run.said for part in _parts(placed.item)):
            run.said.clear()
        run.said = [placed for placed in run.said if _parts(placed.item)]

    def _note_order(self, out: list[_Placed]) -> None:
        furthest = -1
        for placed in out:
            if placed.at is None:
                continue
            if placed.at < furthest:
                self.losses.approximated("order", "before tool results", "behind them", placed.item)
            furthest = max(furthest, placed.at)


def _parts(item: Item) -> tuple[Part, ...]:
    return item.parts if isinstance(item, Message) else ()


def _as_words(result: ToolResult) -> Message:
    """What a tool gave, told by the user, pictures and all."""
    words = texts(result.parts)
    if not result.parts and result.structured is not None:
        words = jsons.dumps(result.structured).decode()
    about = Text(f"[result of {result.name or 'a tool'}]: {words}", cache=result.cache)
    rest = each(result.parts, lambda part: None if isinstance(part, Text) else part)
    return Message(role="user", parts=(about, *rest), turn=result.turn, source=result.source)
