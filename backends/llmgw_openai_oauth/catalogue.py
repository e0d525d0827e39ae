"""The models that a plan has: as the server lists them, or as Codex has last kept its list."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from llmgw.errors import UpstreamBroken
from llmgw.model import ModelInfo
from llmgw_dialects.failures import broken, loaded

FILE: Final = "models_cache.json"
"""Where Codex keeps its list."""
_TOLD: Final = (
    "slug", "display_name", "context_window", "max_context_window", "default_reasoning_level", "supported_reasoning_levels",
    "input_modalities", "service_tiers",
)  # fmt: skip
"""What may be shown; Codex's own instructions, which stand beside it, may not."""


def read(body: bytes) -> list[ModelInfo]:
    """Read a list: those that are to be seen.

    Args:
        body: the server's answer, or the file.

    Raises:
        UpstreamBroken: it is none.
    """
    tree = loaded(body)
    models = tree.get("models") if isinstance(tree, dict) else None
    if not isinstance(models, list):
        raise broken(body, "a list of models was expected")
    return [_info(one) for one in models if isinstance(one, dict) and one.get("visibility") == "list" and _slug(one)]


def kept(folder: Path) -> Sequence[ModelInfo] | None:
    """Codex's own list; None where there is none.

    Args:
        folder: Codex's.
    """
    try:
        models = read((folder / FILE).read_bytes())
    except (OSError, UpstreamBroken):
        return None
    return models or None


def efforts(model: ModelInfo) -> tuple[str, ...]:
    """The efforts that a model knows, from the least to the most."""
    raw = model.raw if isinstance(model.raw, dict) else {}
    told = raw.get("supported_reasoning_levels")
    found = [one.get("effort") for one in told if isinstance(one, dict)] if isinstance(told, list) else []
    return tuple(one for one in found if isinstance(one, str))


def _info(entry: dict[str, Any]) -> ModelInfo:
    shown = {name: entry[name] for name in _TOLD if name in entry}
    name = entry.get("display_name")
    return ModelInfo(_slug(entry), owned_by="openai", display_name=name if isinstance(name, str) else None, raw=shown)


def _slug(entry: dict[str, Any]) -> str:
    slug = entry.get("slug")
    return slug if isinstance(slug, str) else ""
