"""What a model thought: ``thinking`` and ``redacted_thinking``, and the opaque state in them.

Their slots hold Anthropic's own signatures, or an envelope with those of another provider (``llmgw_dialects.envelope``).
"""

from __future__ import annotations

from typing import Any

from attrs import evolve

from llmgw.model import JSON, Carrier, Node, Reasoning
from llmgw.splice import Path
from llmgw_dialects.anthropic_messages.names import VENDOR, text_of
from llmgw_dialects.envelope import is_sealed, opened, sealed
from llmgw_dialects.fields import opt_string, string
from llmgw_dialects.losses import Losses


def read_thinking(value: dict[str, Any], path: Path) -> Reasoning:
    """Read a ``thinking`` block of a request."""
    text, slot = string(value, "thinking", path), opt_string(value, "signature", path) or ""
    if not is_sealed(slot):
        return Reasoning(summary=_told(text), carrier=Carrier(VENDOR, "signature", slot) if slot else None)
    return _unsealed(slot, text)


def read_redacted(value: dict[str, Any], path: Path) -> Reasoning:
    """Read a ``redacted_thinking`` block of a request."""
    slot = string(value, "data", path)
    if not is_sealed(slot):
        return Reasoning(redacted=True, carrier=Carrier(VENDOR, "redacted", slot))
    return _unsealed(slot, "")


def write_thought(part: Reasoning, losses: Losses) -> JSON:
    """A block for a provider, which takes only thoughts that it has signed; None for all others."""
    carrier = part.carrier
    own = carrier is not None and carrier.provider == VENDOR
    if own and carrier is not None and carrier.kind == "redacted":
        return {"type": "redacted_thinking", "data": carrier.payload}
    if own and carrier is not None and carrier.kind == "signature":
        return {"type": "thinking", "thinking": thought(part), "signature": carrier.payload}
    losses.dropped("reasoning" if carrier is None else f"reasoning.{carrier.kind}", node=part)
    return None


def rewrite_thought(part: Reasoning) -> JSON:
    """A block of a client of this dialect, as it was read: also one without a signature."""
    if part.redacted:
        return {"type": "redacted_thinking", "data": part.carrier.payload if part.carrier is not None else ""}
    signature = {} if part.carrier is None else {"signature": part.carrier.payload}
    return {"type": "thinking", "thinking": thought(part), **signature}


def is_foreign(node: Node) -> bool:
    """Whether this stands in a client's body as an envelope, which must not reach a provider."""
    if not isinstance(node, Reasoning) or node.source is None:
        return False
    return any(is_sealed(text_of(node.source.value, slot)) for slot in ("signature", "data"))


def thought(part: Reasoning) -> str:
    """All words of a thought; its paragraphs, where it has several, stand apart."""
    return "\n\n".join(part.summary) or "".join(part.raw_text)


def slot_of(carrier: Carrier | None, text: str) -> str:
    """What goes into a client's slot: Anthropic's own payload as it is, anything else sealed, and never nothing."""
    return carrier.payload if carrier is not None and carrier.provider == VENDOR else sealed(carrier, text or None)


def _unsealed(slot: str, shown: str) -> Reasoning:
    found = opened(slot)
    if found is None:  # damaged
        return Reasoning(summary=_told(shown))
    text, carrier = found.thought(shown), found.carrier
    if text is None and carrier is not None and carrier.provider == VENDOR:
        carrier = None  # it signs words that are no longer known
    part = Reasoning(summary=_told(shown if text is None else text), carrier=carrier)
    return evolve(part, redacted=carrier is not None and carrier.kind == "redacted")


def _told(text: str) -> tuple[str, ...]:
    return (text,) if text else ()
