"""Words that the modules of this dialect share."""

from __future__ import annotations

from typing import Any, Final

from llmgw.model import JSON

NAME: Final = "openai.chat"


def choices_of(tree: JSON) -> list[dict[str, Any]]:
    """The choices of a body or chunk; those that are no objects are left out."""
    choices = tree.get("choices") if isinstance(tree, dict) else None
    return [choice for choice in choices if isinstance(choice, dict)] if isinstance(choices, list) else []


def index_of(choice: dict[str, Any], position: int) -> int:
    """A choice's index, or its position where the provider gave none."""
    index = choice.get("index")
    return index if isinstance(index, int) else position
