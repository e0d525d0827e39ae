"""Words that the modules of this dialect share."""

from __future__ import annotations

import hashlib
from typing import Any, Final

from llmgw.model import JSON
from llmgw.splice import Path

NAME: Final = "openai.chat"


def minted(prefix: str, *told: JSON) -> str:
    """An id where the provider or the client gave none: always the same for the same content and place."""
    digest = hashlib.sha256("\0".join(map(str, told)).encode("utf-8", "surrogatepass"))
    return prefix + digest.hexdigest()[:24]


def spelled(path: Path) -> str:
    """A path as OpenAI writes it in ``param``: ``messages[3].content[0].type``."""
    out = ""
    for step in path:
        out += f"[{step}]" if isinstance(step, int) else f".{step}" if out else step
    return out


def choices_of(tree: JSON) -> list[dict[str, Any]]:
    """The choices of a body or chunk; those that are no objects are left out."""
    choices = tree.get("choices") if isinstance(tree, dict) else None
    return [choice for choice in choices if isinstance(choice, dict)] if isinstance(choices, list) else []


def index_of(choice: dict[str, Any], position: int) -> int:
    """A choice's index, or its position where the provider gave none."""
    index = choice.get("index")
    return index if isinstance(index, int) else position
