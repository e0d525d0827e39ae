"""The items of a conversation become contents: user and model in turn, each call's result in the turn behind it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from llmgw.model import (
    JSON,
    Instruction,
    Item,
    Message,
    OpaqueItem,
    Part,
    Reasoning,
    Text,
    ToolCall,
    ToolResult,
    texts,
)
from llmgw_dialects.google_gemini.calls import write_result
from llmgw_dialects.google_gemini.names import NAME
from llmgw_dialects.google_gemini.parts import write_part
from llmgw_dialects.google_gemini.signatures import is_google
from llmgw_dialects.losses import Losses

_REMINDER: Final = "<system-reminder>\n{}\n</system-reminder>"
Content = dict[str, Any]


def write_items(items: Sequence[Item], losses: Losses) -> dict[str, JSON]:
    """The system instruction, if there is one, and the contents."""
    leading: list[Instruction] = []
    rest: list[Item] = []
    for item in items:
        if isinstance(item, Instruction) and item.leading and not any(isinstance(one, Message | ToolResult) for one in rest):
            leading.append(item)
        else:
            rest.append(item)
    out: dict[str, JSON] = {}
    parts = [part for item in leading for part in _instruct(item, losses)]
    if parts:
        out["systemInstruction"] = {"parts": parts}
    out["contents"] = write_contents(rest, losses)
    return out


def write_contents(items: Sequence[Item], losses: Losses) -> list[Content]:
    """Contents for items."""
    turns = Turns(losses)
    names: dict[str, str] = {}
    for run in _runs(items):
        if _is_model(run[0]):
            names.update((call.call_id, call.name) for item in run for call in _calls(item))
        _write_run(run, turns, names, losses)
    return turns.contents


class Turns:
    """Contents as they grow; neighbours of one role are one."""

    def __init__(self, losses: Losses) -> None:
        self.contents: list[Content] = []
        self.losses = losses

    def add(self, role: str, parts: Iterable[JSON]) -> None:
        """Say more."""
        parts = list(parts)
        if not parts:
            return
        if self.contents and self.contents[-1].get("role") == role and isinstance(self.contents[-1].get("parts"), list):
            self.contents[-1]["parts"] += parts
        else:
            self.contents.append({"role": role, "parts": parts})


def write_model(items: Iterable[Item], losses: Losses) -> list[JSON]:
    """The parts of what the model said; thoughts are not replayed, but Google's own signature goes with what follows."""
    out: list[JSON] = []
    due: str | None = None
    for part in (part for item in items for part in getattr(item, "parts", ())):
        if isinstance(part, Reasoning):
            due = _forgotten(part, due, losses)
            continue
        if isinstance(part, Text) and not part.text and not (part.carrier and is_google(part.carrier)):
            continue
        written = write_part(part, losses)
        if written is None:
            continue
        if due is not None and isinstance(part, Text | ToolCall) and "thoughtSignature" not in written:
            written, due = {**written, "thoughtSignature": due}, None
        out.append(written)
    return out if due is None else [*out, {"text": "", "thoughtSignature": due}]


def _forgotten(part: Reasoning, due: str | None, losses: Losses) -> str | None:
    if part.carrier is not None and is_google(part.carrier):
        return part.carrier.payload
    losses.dropped("reasoning" if part.carrier is None else f"reasoning.{part.carrier.kind}", node=part)
    return due


def _runs(items: Sequence[Item]) -> list[list[Item]]:
    """What the model said, and what came between, in turn."""
    out: list[list[Item]] = []
    for item in items:
        if out and _is_model(out[-1][0]) == _is_model(item):
            out[-1].append(item)
        else:
            out.append([item])
    return out


def _is_model(item: Item) -> bool:
    return isinstance(item, Message) and item.role == "assistant"


def _calls(item: Item) -> list[ToolCall]:
    return [part for part in getattr(item, "parts", ()) if isinstance(part, ToolCall)]


def _write_run(run: list[Item], turns: Turns, names: dict[str, str], losses: Losses) -> None:
    for item in run:
        _lost_fields(item, losses)
    if _is_model(run[0]):
        turns.add("model", write_model(run, losses))
        return
    order = {ident: n for n, ident in enumerate(names)}
    results = [item for item in run if isinstance(item, ToolResult)]
    last = max((n for n, item in enumerate(run) if isinstance(item, ToolResult)), default=0)
    if early := [item for item in run[:last] if not isinstance(item, ToolResult)]:
        losses.approximated("order", "before tool results", "behind them", early[0])
    results.sort(key=lambda item: order.get(item.call_id, len(order)))
    turns.add("user", (_result(item, names, losses) for item in results))
    for item in run:
        if not isinstance(item, ToolResult):
            _write_other(item, turns, losses)


def _result(item: ToolResult, names: dict[str, str], losses: Losses) -> JSON:
    written = write_result(item, losses)
    inner: Any = written["functionResponse"]
    if not inner["name"]:
        inner["name"] = names.get(item.call_id) or "unknown"
    return written


def _write_other(item: Item, turns: Turns, losses: Losses) -> None:
    match item:
        case Message():
            turns.add("user", write_user(item.parts, losses))
        case Instruction():
            losses.emulated("instruction", "user text", item)
            turns.add("user", [{"text": _REMINDER.format(texts(item.parts))}])
        case OpaqueItem(dialect=dialect, raw=dict(raw)) if dialect == NAME:
            turns.contents.append(raw)
        case _:
            losses.dropped(f"item.{type(item).__name__}", node=item)


def write_user(parts: Iterable[Part], losses: Losses) -> list[JSON]:
    """The parts of what a user said; an empty text is none."""
    said = [part for part in parts if not (isinstance(part, Text) and not part.text)]
    return [written for part in said if (written := write_part(part, losses)) is not None]


def _instruct(item: Instruction, losses: Losses) -> list[JSON]:
    _lost_fields(item, losses)
    return write_user(item.parts, losses)


def _lost_fields(item: Item, losses: Losses) -> None:
    for name in ("name", "phase", "cache", "clear_at", "effort"):
        if getattr(item, name, None) and not isinstance(item, ToolResult):
            losses.dropped(f"message.{name}", node=item)
