"""Opaque state that clients lose: kept by the gateway, and put back where the history shows that it is missing.

A signature is found again by the id of the call that it was issued with, or by the words of the thought, always together with
its issuer and the family of models: what one has signed must never come before another. Only the steps since the user last spoke
are looked into, for older state nobody asks for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from attrs import define, evolve, field

from llmgw.events import BlockDelta, BlockMeta, BlockStart, BlockStop, Event
from llmgw.model import Carrier, Item, Message, Part, Prompt, Reasoning, Text, ToolCall
from llmgw_dialects import envelope
from llmgw_dialects.crossing.carriers import loop, reads
from llmgw_dialects.crossing.legs import Heard, Leg, Step
from llmgw_dialects.crossing.revising import revised
from llmgw_dialects.crossing.vendors import VENDORS, family, is_google

MOST: Final = 64
"""Keys that one request asks for, the latest."""
_BEHIND_CHAT: Final = ("unknown", "google")


@define(eq=False)
class _Block:
    """What is known of an open block of the reply."""

    kind: str
    call_id: str | None
    texts: dict[int, list[str]] = field(factory=dict)
    carrier: Carrier | None = None

    @property
    def words(self) -> str:
        return "\n\n".join("".join(self.texts[number]) for number in sorted(self.texts))


class Vault(Step):
    """Remembers carriers of the reply, and puts those of earlier replies back."""

    def __init__(self, leg: Leg) -> None:
        super().__init__(leg)
        self._family = family(leg.request.model)
        self._signs_texts = is_google(leg.target) or self._family.startswith("gemini")
        """Nobody else signs what is said."""
        self._found: dict[str, envelope.Opened] = {}
        self._kept: dict[str, str] = {}
        self._blocks: dict[tuple[int, int], _Block] = {}
        self._thoughts: dict[int, tuple[Carrier, str]] = {}
        """By choice, the thought that the next call comes from."""

    @property
    def wanted(self) -> Sequence[str]:
        """The keys of calls and thoughts that have lost their carrier."""
        keys: dict[str, None] = {}
        for part in self._lacking(self.leg.request.prompt.items):
            if len(keys) >= MOST:
                break
            keys.update(dict.fromkeys(reversed(self._keys(part))))
        return list(reversed(keys))[-MOST:]

    def recall(self, found: Mapping[str, str]) -> None:
        """Take the carriers that were kept."""
        for key, value in found.items():
            opened = envelope.opened(value)
            if opened is not None and reads(self.leg, opened.carrier):
                self._found[key] = opened

    def prompt(self, prompt: Prompt) -> Prompt:
        """The prompt with the carriers that were found."""
        if not self._found:
            return prompt
        start = loop(prompt.items)
        items = [item if number < start else self._item(item) for number, item in enumerate(prompt.items)]
        return revised(prompt, items=tuple(items))

    @property
    def hears(self) -> Heard:
        """Blocks; of texts only those that may be signed."""
        texts: Heard = ("text",) if is_google(self.leg.target) else ()
        return (BlockStart, "reasoning_summary", "reasoning_raw", *texts, BlockMeta, BlockStop)

    def back(self, event: Event) -> Iterable[Event]:
        """The event itself; what it carries is noted."""
        match event:
            case BlockStart():
                call_id = event.meta.get("call_id")
                block = _Block(event.kind, call_id if isinstance(call_id, str) else None)
                self._blocks[event.choice, event.index] = block
            case BlockDelta(channel="text" | "reasoning_summary" | "reasoning_raw"):
                block = self._blocks[event.choice, event.index]
                block.texts.setdefault(event.part, []).append(event.fragment)
            case BlockMeta(what="carrier", value=Carrier() as carrier):
                self._blocks[event.choice, event.index].carrier = carrier
            case BlockStop():
                self._note(self._blocks.pop((event.choice, event.index)), event.choice)
            case _:
                pass
        return (event,)

    @property
    def kept(self) -> Mapping[str, str]:
        """The carriers of the reply, sealed."""
        return self._kept

    def _note(self, block: _Block, choice: int) -> None:
        carrier, words = block.carrier, block.words
        if carrier is not None and block.kind in ("text", "reasoning") and words:
            self._kept[_of_thought(carrier.provider, self._family, words)] = envelope.sealed(carrier)
        if block.kind == "reasoning" and carrier is not None:
            self._thoughts[choice] = (carrier, words)
        if block.call_id is None:
            return
        thought = self._thoughts.pop(choice, None)
        if carrier is not None:
            self._kept[_of_call(carrier.provider, self._family, block.call_id)] = envelope.sealed(carrier)
        elif thought is not None:
            self._kept[_of_call(thought[0].provider, self._family, block.call_id)] = envelope.sealed(*thought)

    # ---- the way in -----------------------------------------------------------------------------

    def _lacking(self, items: tuple[Item, ...]) -> Iterator[Part]:
        """What has no carrier, and might have had one; the latest first."""
        for item in reversed(items[loop(items) :]):
            if isinstance(item, Message) and item.role == "assistant":
                for part in reversed(item.parts):
                    if isinstance(part, (ToolCall, Reasoning, Text)) and not reads(self.leg, part.carrier):
                        yield part

    def _keys(self, part: Part) -> list[str]:
        vendor = VENDORS.get(self.leg.target)
        providers = _BEHIND_CHAT if vendor is None else (vendor,)
        if isinstance(part, ToolCall):
            return [_of_call(provider, self._family, part.call_id) for provider in providers]
        if isinstance(part, Text) and not self._signs_texts:
            return []
        words = _words(part)
        return [_of_thought(provider, self._family, words) for provider in providers] if words else []

    def _item(self, item: Item) -> Item:
        if not isinstance(item, Message) or item.role != "assistant":
            return item
        parts: list[Part] = []
        begun = 0
        """Where what belongs to the next call begins."""
        for part in item.parts:
            opened = next((self._found[key] for key in self._keys(part) if key in self._found), None)
            if opened is None or reads(self.leg, getattr(part, "carrier", None)):
                parts.append(part)
            elif isinstance(part, ToolCall) and opened.carrier is not None and opened.carrier.kind != "thought_signature":
                self._put_thought(parts, begun, opened)
                parts.append(part)
            else:
                parts.append(evolve(part, carrier=opened.carrier))  # type: ignore[call-arg]  # these three have one
            if isinstance(part, ToolCall):
                begun = len(parts)
        same = len(parts) == len(item.parts) and all(new is old for new, old in zip(parts, item.parts, strict=True))
        return item if same else evolve(item, parts=tuple(parts))

    def _put_thought(self, parts: list[Part], begun: int, opened: envelope.Opened) -> None:
        """A thought that the client has lost, before all that came of it; in place of one that lost its carrier."""
        if any(isinstance(part, Reasoning) and reads(self.leg, part.carrier) for part in parts[begun:]):
            return
        rest = [part for part in parts[begun:] if not isinstance(part, Reasoning)]
        carrier = opened.carrier
        told = (opened.text,) if opened.text else ()
        thought = Reasoning(summary=told, carrier=carrier, redacted=carrier is not None and carrier.kind == "redacted")
        parts[begun:] = [thought, *rest]


def _words(part: Part) -> str:
    if isinstance(part, Text):
        return part.text
    return ("".join(part.raw_text) or "\n\n".join(part.summary)) if isinstance(part, Reasoning) else ""


def _of_call(provider: str, kin: str, call_id: str) -> str:
    return f"carrier:{provider}:{kin}:{call_id}"


def _of_thought(provider: str, kin: str, words: str) -> str:
    return f"thought:{provider}:{kin}:{envelope.digest(words)}"
