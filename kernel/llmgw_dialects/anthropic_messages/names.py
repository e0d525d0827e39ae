"""Words that the modules of this dialect share."""

from __future__ import annotations

from typing import Any, Final

from llmgw.model import JSON

NAME: Final = "anthropic.messages"
VENDOR: Final = "anthropic"
"""Who reads the carriers of this dialect, and keeps its files."""


def text_of(node: JSON, key: str) -> str:
    """A string of a provider's, or nothing."""
    value = node.get(key) if isinstance(node, dict) else None
    return value if isinstance(value, str) else ""


def object_of(node: JSON, key: str) -> dict[str, Any]:
    """An object of a provider's, or an empty one."""
    value = node.get(key) if isinstance(node, dict) else None
    return value if isinstance(value, dict) else {}


def present(node: dict[str, JSON]) -> dict[str, JSON]:
    """What is set of these fields."""
    return {key: value for key, value in node.items() if value is not None}
