"""How thoughts, and the opaque state of a first call, look to a client: the same in a stream and in a whole reply."""

from __future__ import annotations

from llmgw.model import JSON, Carrier
from llmgw_dialects.anthropic_messages.names import VENDOR
from llmgw_dialects.anthropic_messages.thoughts import slot_of


def hidden(carrier: Carrier) -> dict[str, JSON]:
    """A thought without words: Anthropic's own signature stands on an empty one, all else in a ``redacted_thinking``."""
    if carrier.provider == VENDOR and carrier.kind == "signature":
        return {"type": "thinking", "thinking": "", "signature": carrier.payload}
    return {"type": "redacted_thinking", "data": slot_of(carrier, "")}


def signature(carrier: Carrier | None, text: str, *, own: bool) -> str | None:
    """What a thought with words is signed with: an envelope if it is nobody's own, for a client must send one back.

    Args:
        carrier: what its provider gave it.
        text: the thought.
        own: whether it came in this dialect; then it is as it came.
    """
    return None if own and carrier is None else slot_of(carrier, text)
