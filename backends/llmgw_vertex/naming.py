"""Which of Vertex AI's three ways a model is spoken to in, told by its name."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, Literal
from urllib.parse import quote

from attrs import frozen

Way = Literal["gemini", "claude", "open", "mistral"]

_FULL: Final = re.compile(r"publishers/([^/]+)/models/([^/]+)")
_ENDPOINT: Final = re.compile(r"endpoints/[A-Za-z0-9_-]+")
_WAYS: Final[dict[str, Way]] = {"google": "gemini", "anthropic": "claude", "mistralai": "mistral"}
"""By publisher; all others' models are spoken to in Chat Completions."""
_FAMILIES: Final = (
    ("claude", "anthropic"),
    ("mistral", "mistralai"),
    ("codestral", "mistralai"),
)
"""How names begin that stand without their publisher; all others are Google's own."""


@frozen
class Named:
    """A model.

    Args:
        way: how it is spoken to.
        publisher: whose it is.
        model: what it is called there.
    """

    way: Way
    publisher: str
    model: str

    @property
    def path(self) -> str:
        """Below a project's location, without the method."""
        if self.publisher == "":
            return self.model
        return f"publishers/{quote(self.publisher, safe='')}/models/{quote(self.model, safe='@')}"


@lru_cache(maxsize=1024)
def named(model: str) -> Named:
    """Read a model's name.

    Args:
        model: ``gemini-2.5-pro``, ``claude-sonnet-4-5``, ``meta/llama-3.3-70b-instruct-maas``, the same with
            ``publishers/P/models/``, or ``endpoints/ID`` for a Gemini model tuned in the project.
    """
    name = model.removeprefix("models/")
    if _ENDPOINT.fullmatch(name):
        return Named("gemini", "", name)
    if full := _FULL.fullmatch(name):
        name = f"{full[1]}/{full[2]}"
    publisher, _, tail = name.rpartition("/")
    if not publisher:
        publisher = next((owner for start, owner in _FAMILIES if name.lower().startswith(start)), "google")
    return Named(_WAYS.get(publisher, "open"), publisher, tail)
