"""Lists of models, and the count of a prompt's tokens."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from llmgw import jsons
from llmgw.model import JSON, ModelInfo
from llmgw_dialects.failures import broken, loaded


def read_models(body: bytes) -> list[ModelInfo]:
    """Read a provider's list: under ``data`` or ``models``, or bare.

    Raises:
        UpstreamBroken: it is none of these.
    """
    match loaded(body):
        case {"data": list(entries)} | {"models": list(entries)} | list(entries):
            return [info for entry in entries if (info := _info(entry)) is not None]
        case _:
            raise broken(body, "a list of models was expected")


def write_models(models: Sequence[ModelInfo]) -> bytes:
    """Write a list of models, which is all of it."""
    data = [_written(model) for model in models]
    ends = {"first_id": models[0].id if models else None, "last_id": models[-1].id if models else None}
    return jsons.dumps({"data": data, "has_more": False, **ends})


def write_model(model: ModelInfo) -> bytes:
    """Write one model."""
    return jsons.dumps(_written(model))


def read_count(body: bytes) -> int:
    """Read how many tokens a prompt has.

    Raises:
        UpstreamBroken: it does not say.
    """
    match loaded(body):
        case {"input_tokens": int(count)} if not isinstance(count, bool):
            return count
        case _:
            raise broken(body, "a number of input tokens was expected")


def write_count(tokens: int) -> bytes:
    """Write how many tokens a prompt has."""
    return jsons.dumps({"input_tokens": tokens})


def _written(model: ModelInfo) -> dict[str, JSON]:
    raw = model.raw if isinstance(model.raw, dict) and model.raw.get("type") == "model" else {}
    created = datetime.fromtimestamp(model.created or 0, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    out = {"type": "model", "id": model.id, "display_name": model.display_name or model.id, "created_at": created}
    known = {key: raw[key] for key in ("max_tokens", "max_input_tokens", "capabilities") if key in raw}
    return {**out, "lifecycle": raw.get("lifecycle", "active"), **known}


def _info(entry: JSON) -> ModelInfo | None:
    if isinstance(entry, str):
        return ModelInfo(entry)
    ident = _text(entry, "id") if isinstance(entry, dict) else None
    if not ident:
        return None
    return ModelInfo(
        id=ident, owned_by=_text(entry, "owned_by") or "anthropic", created=_created(entry),
        display_name=_text(entry, "display_name"), raw=entry,
        context=_size(entry, "max_input_tokens"), max_output=_size(entry, "max_tokens"),
    )  # fmt: skip


def _created(entry: dict[str, Any]) -> int | None:
    given = entry.get("created_at", entry.get("created"))
    if isinstance(given, (int, float)) and not isinstance(given, bool):
        return int(given)
    try:
        when = datetime.fromisoformat(given) if isinstance(given, str) else None
    except ValueError:
        return None
    return None if when is None else int((when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp())


def _text(entry: dict[str, Any], key: str) -> str | None:
    value = entry.get(key)
    return value if isinstance(value, str) and value else None


def _size(entry: dict[str, Any], key: str) -> int | None:
    value = entry.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None
