"""Thought signatures: Google's own, and what of another provider is sealed in their place."""

from __future__ import annotations

from typing import Any, Final

from llmgw.model import Carrier, Part, Reasoning
from llmgw_dialects import envelope
from llmgw_dialects.google_gemini.names import text_of
from llmgw_dialects.losses import Losses

KIND: Final = "thought_signature"


def google(payload: str, *, after: bool = False) -> Carrier:
    """A signature of Google's."""
    return Carrier(provider="google", kind=KIND, payload=payload, position="after" if after else "on")


def is_sealed(value: dict[str, Any]) -> bool:
    """Whether a part's signature is an envelope of ours."""
    return envelope.is_sealed(text_of(value, "thoughtSignature"))


def read_signature(value: dict[str, Any], shown: str = "") -> tuple[Carrier | None, Reasoning | None]:
    """What a part's signature is: one that sits on the part, or another provider's thought, which belongs before it.

    Args:
        value: the part.
        shown: the thoughts that the client sent back before it.
    """
    slot = text_of(value, "thoughtSignature")
    if not slot:
        return None, None
    if not envelope.is_sealed(slot):
        return google(slot), None
    opened = envelope.opened(slot)
    if opened is None:
        return None, None
    carrier = opened.carrier
    if carrier is not None and carrier.kind == KIND:
        return carrier, None
    text = opened.thought(shown if opened.digest else "")
    if text is None and (carrier is None or carrier.kind == "signature"):  # which is good for its own words alone
        return None, None
    redacted = carrier is not None and carrier.kind == "redacted"
    return None, Reasoning(summary=(text,) if text else (), carrier=carrier, redacted=redacted)


def write_signature(carrier: Carrier | None, losses: Losses, node: Part) -> dict[str, str]:
    """The key for a carrier in a request: only what Google can read."""
    if carrier is None:
        return {}
    if is_google(carrier):
        return {"thoughtSignature": carrier.payload}
    losses.dropped(f"carrier.{carrier.kind}", carrier.provider, node)
    return {}


def is_google(carrier: Carrier) -> bool:
    """Whether Google can read it."""
    return carrier.provider == "google" and carrier.kind == KIND
