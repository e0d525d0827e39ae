"""Places in a text, in the unit that OpenAI's dialects count in."""

from __future__ import annotations


def codepoints(text: str, at: int, unit: str) -> int:
    """An offset counted in code points; one that is within a character, or beyond the text, goes to the nearest before.

    Args:
        text: what it is a place in.
        at: the offset.
        unit: what it counts: ``codepoint``, ``byte`` of UTF-8 or ``utf16``.
    """
    if unit == "codepoint":
        return at
    if unit == "byte":
        return len(text.encode("utf-8", "surrogatepass")[:at].decode("utf-8", "ignore"))
    return len(text.encode("utf-16-le", "surrogatepass")[: 2 * at].decode("utf-16-le", "ignore"))
