"""Opaque state in a history: what the target's vendor issued goes back to it, all else stays out of its sight.

A thought without its issuer's signature never becomes plain text, and nobody is sent what another has signed.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from attrs import evolve

from llmgw.events import BlockMeta, Event
from llmgw.model import Carrier, Instruction, Item, Message, Part, Prompt, Reasoning, Text, ToolCall, ToolResult
from llmgw_dialects import envelope
from llmgw_dialects.crossing.effort import off
from llmgw_dialects.crossing.legs import Heard, Leg, Step
from llmgw_dialects.crossing.revising import each, many, revised
from llmgw_dialects.crossing.vendors import ANTHROPIC, CHAT, VENDORS, family, is_google

_KINDS: Final = {
    "anthropic": ("signature", "redacted"), "openai": ("encrypted_content",), "google": ("thought_signature",),
}  # fmt: skip
_SLOTS: Final = frozenset(
    {
        "signature",
        "data",
        "encrypted_content",
        "thoughtSignature",
        "thought_signature",
        "extra_content",
        "reasoning_details",
        "google",
    }
)
"""The keys under which clients keep opaque state, or something that holds it."""


def reads(leg: Leg, carrier: Carrier | None) -> bool:
    """Whether the model behind the target issued this, or another of its family."""
    if carrier is None or envelope.is_sealed(carrier.payload):
        return False
    kin = family(leg.request.model)
    if carrier.family is not None and carrier.family != kin:
        return False
    if leg.target == CHAT:  # Google's models behind Chat have signatures, others keep a list of details
        if carrier.kind == "details":
            return leg.profile.takes_details
        return carrier.provider == "google" and kin.startswith("gemini")
    vendor = VENDORS.get(leg.target, "")
    return carrier.provider == vendor and carrier.kind in _KINDS.get(vendor, ())


class Carriers(Step):
    """Leaves in the history what the target can read; Google's signatures are put on the parts they belong to."""

    def prompt(self, prompt: Prompt) -> Prompt:
        """The prompt without foreign state, and with what stands for signatures that are missing."""
        if self.leg.profile.bypass is None and not self.leg.holds(prompt, Reasoning, "carrier"):
            return prompt
        items = each(prompt.items, self._item)
        bypass = self.leg.profile.bypass
        if bypass is not None:
            items = self._bypassed(items, Carrier(provider="google", kind="thought_signature", payload=bypass))
        return revised(prompt, items=items)

    def _item(self, item: Item) -> Item | None:
        """A message with what the target may see; None where nothing is left of it."""
        if not isinstance(item, Message):
            return item
        parts = item.parts
        if is_google(self.leg.target) and self.leg.request.dialect != self.leg.target:
            parts = _handed_over(parts, self.leg)
        parts = many(parts, self._part)
        if parts is item.parts:
            return item
        return evolve(item, parts=parts) if parts else None

    def _part(self, part: Part) -> Iterable[Part]:
        if not isinstance(part, (Reasoning, ToolCall, Text)) or self._is_native(part):
            return (part,)
        own = self.leg.request.dialect == self.leg.target
        if own and part.source is not None:
            part = evolve(part, source=None)  # written anew: the client's own text holds an envelope
        if isinstance(part, Reasoning):
            return self._thought(part)
        if part.carrier is None or reads(self.leg, part.carrier):
            return (part,)
        self.leg.losses.dropped(f"{'tool_call' if isinstance(part, ToolCall) else 'text'}.carrier", node=part)
        return (evolve(part, carrier=None),)

    def _thought(self, part: Reasoning) -> Iterable[Part]:
        if reads(self.leg, part.carrier):
            return (part,)
        text = part.raw_text or part.summary
        if self.leg.profile.replays_thinking and any(text):
            if part.carrier is not None:
                self.leg.losses.dropped("reasoning.carrier", node=part)
            return (part if part.carrier is None else evolve(part, carrier=None),)
        self.leg.losses.dropped("reasoning" if part.carrier is None else "reasoning.carrier", node=part)
        return ()

    def _is_native(self, part: Reasoning | ToolCall | Text) -> bool:
        """Whether a part of a request of the target's own dialect is as the vendor and its client made it."""
        if self.leg.request.dialect != self.leg.target or part.source is None:
            return False
        return not _holds_envelope(part.source.value)

    def _bypassed(self, items: tuple[Item, ...], stand_in: Carrier) -> tuple[Item, ...]:
        """The history with a stand-in on the first call of each step since the user last spoke, where it has no signature."""
        out, begun = list(items), False
        for number in range(loop(items), len(items)):
            item = items[number]
            if not (isinstance(item, Message) and item.role == "assistant"):
                begun = begun and not isinstance(item, (Message, ToolResult))
                continue
            at = next((at for at, part in enumerate(item.parts) if isinstance(part, ToolCall)), None)
            if at is None or begun:
                continue
            begun, call = True, item.parts[at]
            if isinstance(call, ToolCall) and call.carrier is None:
                self.leg.losses.emulated("tool_call.carrier", "a stand-in", call)
                out[number] = evolve(item, parts=(*item.parts[:at], evolve(call, carrier=stand_in), *item.parts[at + 1 :]))
        return items if all(new is old for new, old in zip(out, items, strict=True)) else tuple(out)


class Continuity(Step):
    """Switches thinking off where Anthropic would refuse it: in a tool loop whose last step has no thought to show.

    So it stays until the user speaks again. A model that thinks by itself needs none of this.
    """

    def prompt(self, prompt: Prompt) -> Prompt:
        """The prompt, maybe without thinking."""
        if self.leg.target != ANTHROPIC or prompt.reasoning.mode not in ("budget", "auto"):
            return prompt
        last = _last_step(prompt.items)
        if last is None or isinstance(last.parts[0], Reasoning):
            return prompt
        self.leg.losses.approximated("reasoning", prompt.reasoning.mode, "off")
        return evolve(prompt, reasoning=evolve(off(self.leg.profile), show=None))


class Stamps(Step):
    """Notes on what the provider issues which family of models it belongs to."""

    @property
    def hears(self) -> Heard:
        """Carriers."""
        return (BlockMeta,)

    def back(self, event: Event) -> Iterable[Event]:
        """A carrier with its family; another event as it is."""
        if not isinstance(event, BlockMeta) or event.what != "carrier":
            return (event,)
        carrier = event.value
        if not isinstance(carrier, Carrier) or carrier.family is not None:
            return (event,)
        return (evolve(event, value=evolve(carrier, family=family(self.leg.request.model))),)


def _handed_over(parts: tuple[Part, ...], leg: Leg) -> tuple[Part, ...]:
    """Signatures that a client kept as thoughts, on the calls and texts that they were issued with; thoughts are no input."""
    out: list[Part] = []
    pending: Carrier | None = None
    for part in parts:
        if isinstance(part, Reasoning) and reads(leg, part.carrier):
            if pending is not None:
                out.append(_alone(pending))
            pending = part.carrier
            if pending is not None and pending.position == "after":
                out.append(_alone(pending))
                pending = None
            continue
        if pending is not None and isinstance(part, (ToolCall, Text)) and part.carrier is None:
            part, pending = evolve(part, carrier=evolve(pending, position="on")), None
        out.append(part)
    if pending is not None:
        out.append(_alone(pending))
    return tuple(out) if len(out) != len(parts) or any(new is not old for new, old in zip(out, parts, strict=True)) else parts


def _alone(carrier: Carrier) -> Text:
    """A signature on nothing, as Google itself sends one at the end."""
    return Text("", carrier=evolve(carrier, position="on"))


def loop(items: tuple[Item, ...]) -> int:
    """Where the model's steps since the user last spoke begin; tool results with words behind them are not the user speaking."""
    start, spoke, results = 0, False, False
    for number, item in enumerate(items):
        match item:
            case Message(role="assistant"):
                if spoke and not results:
                    start = number
                spoke = results = False
            case Message():
                spoke = spoke or any(isinstance(part, Text) and part.text.strip() for part in item.parts)
            case ToolResult():
                results = True
            case _:
                pass
    return start if not spoke or results else len(items)


def _last_step(items: tuple[Item, ...]) -> Message | None:
    """What the model said before the tool results at the end; None where the user has spoken since or no tool was called."""
    found: Message | None = None
    seen = False
    for item in reversed(items):
        if isinstance(item, Instruction):
            continue
        if isinstance(item, Message) and item.role == "assistant":
            if not item.parts:
                continue
            found = item
        elif found is not None:
            break
        elif isinstance(item, ToolResult):
            seen = True
    return found if seen and found is not None and any(isinstance(part, ToolCall) for part in found.parts) else None


def _holds_envelope(value: Any) -> bool:
    """Whether an envelope stands where a client keeps opaque state."""
    if isinstance(value, str):
        return envelope.is_sealed(value)
    if isinstance(value, list):
        return any(_holds_envelope(inner) for inner in value)
    return isinstance(value, dict) and any(_holds_envelope(inner) for key, inner in value.items() if key in _SLOTS)
