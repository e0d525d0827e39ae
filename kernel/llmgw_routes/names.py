"""How a model's name says several: ``a|b`` one after the other, ``a^b`` by weight, ``a!b`` at once; ``[weight=3]a`` with options.

``|`` binds least, then ``!``, then ``^``: ``a!b|c`` is a race of two and, when both fail, ``c``. A name that holds one of these
signs itself cannot be said in this way; what stands behind ``?`` writes them as in a URL (``%7C``).
"""

from __future__ import annotations

from typing import Final, Literal

from attrs import fields, frozen

from llmgw.errors import InvalidField
from llmgw.nearest import nearest

Sign = Literal["|", "!", "^"]

MOST_MEMBERS: Final = 32
"""Of one chain: what clients may write must end somewhere."""
_LOOSER: Final[dict[Sign, str]] = {"|": "", "!": "|", "^": "|!"}
"""Signs that bind less, by which a name is divided first."""


@frozen(kw_only=True)
class Options:
    """What stands in brackets before a member.

    Args:
        weight: how often it comes first among those that ``^`` joins, in comparison with the others.
        handicap: seconds that it waits before it sets out in a race.
        patience: seconds for it to begin its answer.
    """

    weight: float = 1.0
    handicap: float = 0.0
    patience: float | None = None


@frozen
class Member:
    """One of several."""

    name: str
    options: Options = Options()


def members(name: str, sign: Sign) -> list[Member]:
    """The members that a sign joins; none where the name is not of that kind.

    Args:
        name: a model's, as asked for.
        sign: which of the three.

    Raises:
        InvalidField: a member is empty, there are too many, or an option is none.
    """
    if sign not in name or any(looser in name for looser in _LOOSER[sign]):
        return []
    parts = name.split(sign)
    if len(parts) > MOST_MEMBERS:
        raise _wrong(f"A model's name may join at most {MOST_MEMBERS} others, and this one joins {len(parts)}.")
    return [member(part, name) for part in parts]


def member(text: str, whole: str) -> Member:
    """One member, its options read; those of members that are joined themselves stay where they are.

    Args:
        text: of the member.
        whole: the name that it stands in, for the message.
    """
    text = text.strip()
    options = Options()
    if text.startswith("[") and not any(sign in text for sign in "!^|"):
        inside, bracket, text = text[1:].partition("]")
        if not bracket:
            raise _wrong(f"A '[' without a ']' stands in the model's name '{whole[:200]}'.")
        options = _options(inside, whole)
    if not text.strip():
        raise _wrong(f"In the model's name '{whole[:200]}' a name is missing beside one of the signs | ^ !.")
    return Member(text.strip(), options)


def _options(text: str, whole: str) -> Options:
    known = [one.name for one in fields(Options)]
    found: dict[str, float] = {}
    for entry in text.split(","):
        key, _, value = (word.strip() for word in entry.partition("="))
        if key not in known:
            close = nearest(key, known) or known
            raise _wrong(f"There is no option '{key[:50]}' in '{whole[:200]}'; there are: {', '.join(close)}.")
        try:
            number = float(value)
        except ValueError:
            number = -1.0
        if not 0 <= number < 1e6 or (number == 0 and key != "handicap"):
            raise _wrong(f"The option '{key}' in '{whole[:200]}' must be a number above 0.")
        found[key] = number
    return Options(**found)


def _wrong(message: str) -> InvalidField:
    return InvalidField(message, param="model")
