"""A chunk written anew around the events that are left of it, or that were changed."""

from __future__ import annotations

from typing import Any, Final

from attrs import define

from llmgw.events import BlockDelta, Event, UsageUpdate
from llmgw.model import JSON
from llmgw_dialects.openai_chat.deltas import Piece
from llmgw_dialects.openai_chat.names import choices_of, index_of
from llmgw_dialects.openai_chat.reasoning import with_text
from llmgw_dialects.openai_chat.usage import write_usage

_SAID: Final = frozenset(
    {"content", "reasoning_content", "reasoning", "reasoning_details", "refusal", "tool_calls", "function_call", "audio",
     "annotations"}
)  # fmt: skip
_ENVELOPE: Final = frozenset({"id", "object", "created", "model", "system_fingerprint", "service_tier", "provider"})


@define(eq=False)
class Rebuilder:
    """Builds on one chunk.

    Args:
        tree: the chunk as it came.
        first: whether nothing of it has been written yet, so that the keys we do not know must go with this.
    """

    tree: dict[str, Any]
    first: bool

    def build(self, pieces: list[tuple[Event, list[Piece]]]) -> dict[str, JSON] | None:
        """The chunk, saying only what these pieces say; None if that is nothing."""
        left = ("choices", "usage") if self.first else self.tree.keys() - _ENVELOPE
        out = {key: value for key, value in self.tree.items() if key not in left}
        choices = self._choices(pieces)
        usages = [event for event, _ in pieces if isinstance(event, UsageUpdate)]
        if not choices and not usages and not self.first:
            return None
        out["choices"] = choices
        if usages:
            out["usage"] = write_usage(usages[-1].usage)
        elif "usage" in self.tree and self.tree["usage"] is None:
            out["usage"] = None
        return out

    def _choices(self, pieces: list[tuple[Event, list[Piece]]]) -> list[dict[str, Any]]:
        by_choice: dict[int, list[tuple[Event, Piece]]] = {}
        for event, made in pieces:
            for piece in made:
                by_choice.setdefault(piece.choice, []).append((event, piece))
        out: list[dict[str, Any]] = []
        for position, original in enumerate(choices_of(self.tree)):
            index = index_of(original, position)
            if self.first or index in by_choice:
                out.append(self._choice(original, index, by_choice.pop(index, [])))
        # then those that were put into this frame
        return out + [self._choice({}, index, own) for index, own in sorted(by_choice.items())]

    def _choice(self, original: dict[str, Any], index: int, pieces: list[tuple[Event, Piece]]) -> dict[str, Any]:
        given = original.get("delta")
        old: dict[str, Any] = given if isinstance(given, dict) else {}
        # not the message: that is all that was said so far, with what was changed since
        choice = {key: value for key, value in original.items() if key != "message"} if self.first else {}
        delta = {key: value for key, value in old.items() if key not in _SAID or not value} if self.first else {}
        choice |= {"index": index, "delta": delta, "finish_reason": None}
        if _counted(original.get("logprobs")):
            choice["logprobs"] = None
        for _, piece in pieces:
            self._say(delta, old, piece.delta)
            if piece.logprobs is not None:
                choice["logprobs"] = piece.logprobs
            choice["finish_reason"] = piece.finish or choice["finish_reason"]
        thoughts = [event for event, piece in pieces if isinstance(event, BlockDelta) and "reasoning_content" in piece.delta]
        self._reasoned(delta, old, thoughts)
        return choice

    def _say(self, delta: dict[str, Any], old: dict[str, Any], piece: dict[str, Any]) -> None:
        for key, value in piece.items():
            match key:
                case "reasoning_content":
                    pass  # told by _reasoned, all at once
                case "tool_calls":
                    self._call(delta, old, value[0])
                case "function_call" | "audio":
                    delta[key] = _joined(delta.get(key) or {}, value)
                case "content":
                    delta[key] = _content(delta.get(key), value)
                case _ if isinstance(value, list):
                    delta[key] = [*(delta.get(key) or ()), *value]
                case _:
                    delta[key] = (delta.get(key) or "") + value

    @staticmethod
    def _reasoned(delta: dict[str, Any], old: dict[str, Any], deltas: list[BlockDelta]) -> None:
        """Under the keys the provider uses; its details repeat the words, so they must not tell what was changed."""
        text = "".join(event.fragment for event in deltas)
        if "reasoning_details" in delta and not all(event.pristine for event in deltas):
            delta["reasoning_details"] = with_text(delta["reasoning_details"], text)
        keys = [key for key in ("reasoning_content", "reasoning") if isinstance(old.get(key), str) and old[key]]
        if text and not keys and "reasoning_details" not in delta:
            keys = ["reasoning_content"]
        delta.update(dict.fromkeys(keys, text) if text else {})

    def _call(self, delta: dict[str, Any], old: dict[str, Any], entry: dict[str, Any]) -> None:
        calls = delta.get("tool_calls") or []
        there = next((call for call in calls if call["index"] == entry["index"] and "id" not in entry), None)
        if there is None:
            calls.append({**self._unknown(old, entry), **entry})
        else:
            there.update(_joined(there, entry))
        delta["tool_calls"] = calls

    def _unknown(self, old: dict[str, Any], entry: dict[str, Any]) -> dict[str, Any]:
        if not self.first:
            return {}
        known = ("index", "id", "type", "function", "custom", "extra_content")
        for call in old.get("tool_calls") or ():
            if isinstance(call, dict) and call.get("index") == entry["index"]:
                return {key: value for key, value in call.items() if key not in known}
        return {}


def _counted(logprobs: JSON) -> bool:
    return isinstance(logprobs, dict) and bool(logprobs.get("content") or logprobs.get("refusal"))


def _content(old: JSON, more: JSON) -> JSON:
    """Strings run on; a list is only there for an entry that we do not know."""
    if isinstance(more, str) and not isinstance(old, list):
        return (old or "") + more
    lists = [[{"type": "text", "text": value}] if isinstance(value, str) else value for value in (old, more) if value]
    return [entry for entries in lists for entry in entries]


def _joined(old: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    """Fragments appended, objects joined, anything else replaced."""
    out = dict(old)
    for key, value in more.items():
        before = out.get(key)
        if isinstance(before, dict) and isinstance(value, dict):
            out[key] = _joined(before, value)
        elif isinstance(before, str) and isinstance(value, str) and key in ("arguments", "input", "data", "transcript"):
            out[key] = before + value
        else:
            out[key] = value
    return out
