"""Names with stars, and what is made of what the stars stand for."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from attrs import field, frozen

from llmgw.errors import ConfigError, InvalidField

SIGNS: Final = "|^!"
"""They join names (``llmgw_routes.names``)."""
_PLACEHOLDER: Final = re.compile(r"\{([^{}]*)\}")


@frozen
class Pattern:
    """A name in which ``*`` stands for any text.

    The time to match grows no faster than the name, whatever a client makes up: a star takes as little as it can.

    Args:
        text: as ``claude-*``.
    """

    text: str
    pieces: Sequence[str] = field(init=False, repr=False)
    _folded: Sequence[str] = field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "pieces", self.text.split("*"))
        object.__setattr__(self, "_folded", folded(self.text).split("*"))

    @property
    def stars(self) -> int:
        """How many."""
        return len(self.pieces) - 1

    @property
    def weight(self) -> int:
        """How much it says: its characters that are no stars."""
        return len(self.text) - self.stars

    def match(self, name: str, *, fold: bool = False) -> tuple[str, ...] | None:
        """What the stars stand for in a name; None where it is not of this pattern.

        Args:
            name: as a client asks for it.
            fold: whether ``A`` is ``a``.
        """
        pieces, looked = (self._folded, folded(name)) if fold else (self.pieces, name)
        first, last = pieces[0], pieces[-1]
        if len(pieces) == 1:
            return () if looked == first else None
        if not looked.startswith(first) or not looked.endswith(last) or len(looked) < len(first) + len(last):
            return None
        found: list[str] = []
        at, end = len(first), len(looked) - len(last)
        for piece in pieces[1:-1]:
            place = looked.find(piece, at, end)
            if place < 0:
                return None
            found.append(name[at:place])
            at = place + len(piece)
        return (*found, name[at:end])


@frozen
class Template:
    """A name in which ``{model}`` stands for the name that was asked for, ``{1}`` for what the first star stands for.

    Args:
        text: as ``openrouter:anthropic/{model}``.
        stars: of the pattern that it belongs to.

    Raises:
        ConfigError: it is empty, or a placeholder stands for nothing.
    """

    text: str
    stars: int = 0

    def __attrs_post_init__(self) -> None:
        if not self.text.strip():
            raise ConfigError("a name is empty: say which model is meant")
        known = ["model", *map(str, range(1, self.stars + 1))]
        for name in _PLACEHOLDER.findall(self.text):
            if name not in known:
                meant = ", ".join("{" + one + "}" for one in known)
                raise ConfigError(f"'{{{name}}}' in '{self.text}' stands for nothing; there are: {meant}")

    def filled(self, name: str, found: Sequence[str]) -> str:
        """The name that is meant.

        Args:
            name: as it was asked for.
            found: what the stars stand for.

        Raises:
            InvalidField: what would be put in holds a sign that joins names, and would so say something else.
        """

        def value(match: re.Match[str]) -> str:
            text = name if match[1] == "model" else found[int(match[1]) - 1]
            if any(sign in text for sign in SIGNS):
                message = f"The model '{name[:200]}' joins several; here it must be one, since its name becomes part of another."
                raise InvalidField(message, param="model")
            return text

        return _PLACEHOLDER.sub(value, self.text)


def folded(text: str) -> str:
    """Without capitals; as long as before, which ``str.lower`` does not promise."""
    return text.encode(errors="surrogatepass").lower().decode(errors="surrogatepass")
