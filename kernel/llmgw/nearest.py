"""Which names a misspelt one may have meant."""

from __future__ import annotations

from collections.abc import Iterable

_LONGEST = 200
"""A name longer than this is none; comparing it would take time that whoever sent it has for free."""


def nearest(word: str, names: Iterable[str], *, limit: int = 3) -> list[str]:
    """The names most like a word, the likest first; none where none is like it.

    Args:
        word: as somebody wrote it; its case does not matter.
        names: what exists.
        limit: how many at most.
    """
    if len(word) > _LONGEST:
        return []
    import difflib  # costs 10 ms, and most starts misspell nothing

    folded = {name.casefold(): name for name in names}
    return [folded[match] for match in difflib.get_close_matches(word.casefold(), folded, n=limit)]


def did_you_mean(word: str, names: Iterable[str]) -> str:
    """``did you mean 'type'?``, or nothing where no name is like the word."""
    return "".join(f"did you mean {name!r}?" for name in nearest(word, names, limit=1))
