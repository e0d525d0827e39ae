"""Arguments whose numbers JSON libraries would bend: they are carried as text, and written as text."""

from __future__ import annotations

from llmgw import jsons
from llmgw.model import JSON
from llmgw.splice import Kept, Path, splice


def suspects(value: JSON) -> bool:
    """Whether a value holds numbers that may not be what they were: such with a point, or of more than 64 bits."""
    if isinstance(value, dict):
        return any(map(suspects, value.values()))
    if isinstance(value, list):
        return any(map(suspects, value))
    return isinstance(value, float)


def text_at(data: bytes, path: Path) -> str:
    """The text of the value at a path of a JSON text; nothing where the path leads nowhere."""
    try:
        return splice(data, Kept(path)).decode("utf-8", "surrogatepass")
    except (LookupError, StopIteration, ValueError):
        return ""


def value_of(text: str) -> JSON:
    """A JSON value, as text if it is an object whose numbers would bend.

    Raises:
        JsonError: it is none.
    """
    data = text.encode("utf-8", "surrogatepass")
    value = jsons.loads(data)
    return jsons.Exact(data) if isinstance(value, dict) and suspects(value) else value
