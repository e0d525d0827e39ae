"""``reasoning_details``: OpenRouter's list of what a model thought, in pieces in a stream, whole in a message.

A client must send the whole list back as it came, so the pieces are put together and kept as one opaque carrier. Another
vendor's opaque state goes there too, as an encrypted entry that holds an envelope of ours.
"""

from __future__ import annotations

from typing import Any, Final

from llmgw import jsons
from llmgw.model import JSON, Carrier
from llmgw_dialects.envelope import Opened, is_sealed, opened, sealed

_TEXTS: Final = ("text", "summary")
_SEALED: Final = "reasoning.encrypted"


def details_text(details: list[JSON]) -> str:
    """The words in these details."""
    texts = [entry[key] for entry in details if isinstance(entry, dict) for key in _TEXTS if isinstance(entry.get(key), str)]
    return "".join(texts)


def with_text(details: list[JSON], text: str) -> list[JSON]:
    """These details, saying ``text`` instead: the first entry that has words gets all of them."""
    out: list[JSON] = []
    for entry in details:
        key = next((key for key in _TEXTS if isinstance(entry, dict) and isinstance(entry.get(key), str)), None)
        out.append(entry if key is None else {**entry, key: text})
        text = text if key is None else ""
    return out


def join_details(details: list[JSON], more: list[JSON]) -> None:
    """Append a stream's pieces: one that continues the words of the last entry (same index, type and id) grows it."""
    for entry in more:
        if details and _continues(details[-1], entry):
            details[-1] = {**details[-1], **_grown(details[-1], entry)}
        else:
            details.append(entry)


def _continues(last: JSON, entry: JSON) -> bool:
    if not (isinstance(last, dict) and isinstance(entry, dict)) or entry.get("index") is None or "data" in entry:
        return False  # encrypted data comes whole, and two of them may share an index
    if last.get("index") != entry["index"] or last.get("type") != entry.get("type"):
        return False
    return entry.get("id") is None or last.get("id") in (None, entry["id"])


def _grown(last: dict[str, Any], entry: dict[str, Any]) -> dict[str, JSON]:
    out: dict[str, JSON] = {}
    for key, value in entry.items():
        if value is None:
            continue
        old = last.get(key)
        out[key] = old + value if key in _TEXTS and isinstance(old, str) and isinstance(value, str) else value
    return out


def sealed_detail(carrier: Carrier, text: str) -> dict[str, JSON]:
    """An entry that carries another vendor's state, and the thought it belongs to."""
    return {"type": _SEALED, "data": sealed(carrier, text or None), "format": "llmgw"}


def opened_detail(entry: JSON) -> Opened | None:
    """What such an entry carries; None if it is none of ours."""
    match entry:
        case {"type": "reasoning.encrypted", "data": str(data)} if is_sealed(data):
            return opened(data) or Opened(None)
        case _:
            return None


def details_carrier(details: list[JSON]) -> Carrier:
    """The whole list as a carrier, whose payload is its JSON."""
    return Carrier(provider="unknown", kind="details", payload=jsons.dumps(details).decode())


def carried_details(carrier: Carrier | None) -> list[JSON]:
    """The list in a carrier, or nothing if it carries something else."""
    if carrier is None or carrier.kind != "details":
        return []
    details = jsons.loads(carrier.payload.encode("utf-8", "surrogatepass"))
    return details if isinstance(details, list) else []


def extra_details(extra: JSON) -> list[JSON]:
    """The pieces in a ``BlockMeta`` of kind ``extra``."""
    details = extra.get("reasoning_details") if isinstance(extra, dict) else None
    return details if isinstance(details, list) else []
