"""Opaque state of one provider, carried through the client of another: sealed in the client's own opaque slot.

A signature, an encrypted thought: only its issuer can read it, and yet it must come back unchanged with the next request. So it
is put, with its provenance, where the client's dialect keeps such things of its own (``thinking.signature``,
``reasoning.encrypted_content``, ``thoughtSignature`` …), and recognised there by its prefix when it returns::

    llmgw1:PROVIDER:FAMILY:KIND:BASE64URL(JSON)

What comes back is untrusted: it is parsed strictly, and its issuer verifies the payload. Thoughts of a model that signs nothing
get an empty payload of provider ``none``, so that they are known not to be the client vendor's own.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from typing import Final, cast, get_args, get_type_hints

from attrs import frozen

from llmgw import jsons
from llmgw.model import Carrier

PREFIX: Final = "llmgw1:"
MARKS: Final = (PREFIX.encode(), base64.b64encode(PREFIX[:6].encode()).rstrip(b"="))
"""How bytes that hold an envelope can be told without reading them: as text, and where a slot must be base64."""

MOST_TEXT: Final = 64 * 1024
"""Characters of a thought that its envelope repeats, for clients that do not send thoughts back."""
MOST: Final = 4 * 2**20
"""Characters of an envelope that is read."""

_FORM: Final = re.compile(r"llmgw1:([a-z0-9_.-]{0,64}):([A-Za-z0-9_.:/-]{0,128}?):([a-z_]{1,32}):([A-Za-z0-9_-]*)")
_KINDS: Final = get_args(get_type_hints(Carrier)["kind"])
_POSITIONS: Final = get_args(get_type_hints(Carrier)["position"])


@frozen
class Opened:
    """What an envelope held.

    Args:
        carrier: as it was sealed; None for a thought that nobody signed.
        text: the thought it belongs to, where the envelope repeats it.
        digest: of that thought.
    """

    carrier: Carrier | None
    text: str | None = None
    digest: str | None = None

    def thought(self, shown: str) -> str | None:
        """The thought as its issuer wrote it, given what the client sent back; None if that can no longer be told."""
        if self.text is not None:
            return self.text
        return shown if self.digest is None or self.digest == digest(shown) else None


def sealed(carrier: Carrier | None, text: str | None = None) -> str:
    """An envelope.

    Args:
        carrier: what to carry; None for a thought that nobody signed.
        text: the thought it belongs to, which its issuer wants back to the letter.
    """
    told: dict[str, str] = {}
    if carrier is not None:
        told["p"] = carrier.payload
        if carrier.position != "on":
            told["at"] = carrier.position
        if carrier.scope:
            told["s"] = carrier.scope
    if text:
        told["h"] = digest(text)
        if len(text) <= MOST_TEXT:
            told["t"] = text
    provider, kind = (carrier.provider, carrier.kind) if carrier is not None else ("none", "signature")
    family = (carrier.family or "") if carrier is not None else ""
    packed = base64.urlsafe_b64encode(jsons.dumps(told)).decode().rstrip("=")
    return f"{PREFIX}{provider}:{family}:{kind}:{packed}"


def opened(slot: str) -> Opened | None:
    """What an envelope holds; None if it is none, or one that is damaged.

    Args:
        slot: what stood in a client's slot: an envelope, or its base64 in any alphabet, padded or not.
    """
    text = slot if slot.startswith(PREFIX) else _decoded(slot)
    found = _FORM.fullmatch(text) if len(text) <= MOST else None
    if found is None:
        return None
    provider, family, kind, packed = found.groups()
    try:
        told = jsons.loads(base64.urlsafe_b64decode(packed + "=" * (-len(packed) % 4)))
    except (jsons.JsonError, binascii.Error):
        return None
    if not isinstance(told, dict) or not all(isinstance(value, str) for value in told.values()) or kind not in _KINDS:
        return None
    position = told.get("at", "on")
    if position not in _POSITIONS:
        return None
    carrier = None
    if provider != "none":
        carrier = Carrier(
            provider=provider,
            kind=cast("str", kind),  # type: ignore[arg-type]  # one of _KINDS
            payload=told.get("p", ""),
            family=family or None,
            position=cast("str", position),  # type: ignore[arg-type]  # one of _POSITIONS
            scope=told.get("s"),
        )
    return Opened(carrier, told.get("t"), told.get("h"))


def is_sealed(slot: str) -> bool:
    """Whether a slot holds an envelope of ours, sound or not: it must never reach a provider."""
    return slot.startswith(PREFIX) or _decoded(slot).startswith(PREFIX)


def in_base64(envelope: str) -> str:
    """An envelope for a slot that must be base64."""
    return base64.b64encode(envelope.encode()).decode()


def digest(text: str) -> str:
    """What tells one thought from another."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _decoded(slot: str) -> str:
    """The envelope in base64; nothing where there is none."""
    if not slot.startswith(MARKS[1].decode()):
        return ""
    plain = slot.replace("-", "+").replace("_", "/").rstrip("=")
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4)).decode("ascii")
    except (binascii.Error, UnicodeDecodeError):
        return ""
