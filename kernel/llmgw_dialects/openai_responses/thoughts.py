"""``reasoning`` items of a request, and the opaque state in them: OpenAI's own, or an envelope with that of another provider."""

from __future__ import annotations

from typing import Any, Final

from attrs import evolve

from llmgw.model import JSON, Carrier, Reasoning, Text, ToolCall
from llmgw.splice import Path
from llmgw_dialects import envelope
from llmgw_dialects.fields import opt_list, opt_string
from llmgw_dialects.losses import Losses
from llmgw_dialects.openai_responses.names import VENDOR, given

KIND: Final = "encrypted_content"
_SIGNATURE: Final = "thought_signature"


def read_reasoning(value: dict[str, Any], path: Path) -> Reasoning:
    """Read a ``reasoning`` item."""
    summary, raw = _texts(value, "summary", path), _texts(value, "content", path)
    slot = opt_string(value, KIND, path)
    part = Reasoning(summary=summary, raw_text=raw, id=opt_string(value, "id", path), status=opt_string(value, "status", path))
    if slot is None:
        return part
    if not envelope.is_sealed(slot):
        return evolve(part, carrier=Carrier(VENDOR, KIND, slot))
    return _unsealed(part, slot)


def write_reasoning(part: Reasoning, losses: Losses) -> dict[str, JSON] | None:
    """An item for a provider, which reads only what OpenAI has encrypted; None for any other thought."""
    carrier = part.carrier
    if not is_native(carrier):
        losses.dropped("reasoning" if carrier is None else f"reasoning.{carrier.kind}", node=part)
        return None
    assert carrier is not None
    return {"type": "reasoning", "summary": _summary(part), KIND: carrier.payload}


def rewrite_reasoning(part: Reasoning) -> dict[str, JSON]:
    """An item of a client of this dialect: as it was read, but for what only another provider can read."""
    content = [{"type": "reasoning_text", "text": text} for text in part.raw_text]
    payload = part.carrier.payload if part.carrier is not None and is_native(part.carrier) else None
    told = given(id=part.id, content=content or None, status=part.status)
    return {"type": "reasoning", "summary": _summary(part), KIND: payload, **told}


def is_native(carrier: Carrier | None) -> bool:
    """Whether OpenAI can read it."""
    return carrier is not None and carrier.provider == VENDOR and carrier.kind == KIND


def is_foreign(value: JSON) -> bool:
    """Whether an item of a request holds what only another provider can read."""
    slot = value.get(KIND) if isinstance(value, dict) else None
    return isinstance(slot, str) and envelope.is_sealed(slot)


def for_next(part: Reasoning) -> Carrier | None:
    """The carrier of the call that follows, if this item is there for nothing else."""
    carrier = part.carrier
    if carrier is None or carrier.kind != _SIGNATURE or carrier.position == "after" or part.summary or part.raw_text:
        return None
    return carrier


def for_last(part: Reasoning, last: object) -> Text | ToolCall | None:
    """The text or call before this item with the carrier that the item is there for; None if it is there for more."""
    carrier = part.carrier
    if carrier is None or carrier.kind != _SIGNATURE or carrier.position != "after" or part.summary or part.raw_text:
        return None
    if isinstance(last, ToolCall) and last.carrier is None:
        return evolve(last, carrier=evolve(carrier, position="on"))
    if isinstance(last, Text) and last.carrier is None:
        return evolve(last, carrier=carrier)
    return None


def slot_of(carrier: Carrier | None, text: str) -> str:
    """What goes into a client's slot: OpenAI's own payload as it is, anything else sealed."""
    if carrier is not None and is_native(carrier):
        return carrier.payload
    return envelope.sealed(carrier, text or None)


def thought(part: Reasoning) -> str:
    """All words of a thought; its paragraphs stand apart."""
    return "\n\n".join((*part.summary, *part.raw_text))


def _unsealed(part: Reasoning, slot: str) -> Reasoning:
    found = envelope.opened(slot)
    if found is None:  # damaged
        return part
    shown = thought(part)
    text, carrier = found.thought(shown), found.carrier
    if text is None:  # the client changed it, and what it was is not known: nobody's signature is good for it
        return part
    redacted = carrier is not None and carrier.kind == "redacted"
    if text != shown:
        part = evolve(part, summary=(text,) if text else (), raw_text=())
    return evolve(part, carrier=carrier, redacted=redacted)


def _texts(value: dict[str, Any], key: str, path: Path) -> tuple[str, ...]:
    entries = opt_list(value, key, path) or ()
    return tuple(entry["text"] for entry in entries if isinstance(entry, dict) and isinstance(entry.get("text"), str))


def _summary(part: Reasoning) -> list[JSON]:
    return [{"type": "summary_text", "text": text} for text in part.summary]
