"""The one text in the arguments of a wrapped freeform tool, told while it comes.

The arguments should be ``{"input": "..."}``. Until that value begins nothing is told; from then on all but an unfinished escape.
"""

from __future__ import annotations

import re
from typing import Final

from attrs import define, field

from llmgw import jsons

KEY: Final = "input"

_SPECIAL: Final = re.compile(r'["\\]')
_SHORT: Final = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_HEX: Final = re.compile(r"[0-9a-fA-F]{0,4}")
_LOW: Final = re.compile(r"\\u[dD][c-fC-F][0-9a-fA-F]{2}")
_LOW_BEGUN: Final = re.compile(r"(?:\\(?:u(?:[dD](?:[c-fC-F][0-9a-fA-F]?)?)?)?)?")


@define(eq=False)
class Unwrapper:
    """Takes arguments in fragments and gives the text in them."""

    _all: list[str] = field(factory=list)
    """What came before the value began; only needed where it never does."""
    _seeker: _Seeker = field(factory=lambda: _Seeker())
    _string: _String | None = None

    def feed(self, fragment: str) -> str:
        """What these arguments add to the text."""
        if self._string is not None:
            return self._string.feed(fragment)
        self._all.append(fragment)
        at = self._seeker.feed(fragment)
        if at is None:
            return ""
        self._string = _String()
        self._all.clear()
        return self._string.feed(fragment[at:])

    def close(self) -> str:
        """The text, where the arguments have another shape."""
        return "" if self._string is not None else _text_of("".join(self._all))


def _text_of(arguments: str) -> str:
    """The only text in an object, a JSON string's own, or else the arguments as they are."""
    try:
        value = jsons.loads(arguments.encode())
    except (jsons.JsonError, UnicodeEncodeError):
        return arguments
    match value:
        case str() as text:
            return text
        case dict() if not value:
            return ""
        case {"input": str(text)}:
            return text
        case dict():
            found = [one for one in value.values() if isinstance(one, str)]
            return found[0] if len(found) == 1 else arguments
        case _:
            return arguments


@define(eq=False)
class _Seeker:
    """Looks for where the value of ``input`` begins, in an object that may hold other things before it."""

    _depth: int = 0
    _lost: bool = False
    _within: bool = False
    """Whether in a string."""
    _escaped: bool = False
    _is_key: bool = False
    _key: str = ""

    def feed(self, fragment: str) -> int | None:
        """Where in the fragment the text begins, behind its quote."""
        for at, char in enumerate(fragment):
            if self._lost:
                return None
            if self._within:
                self._in_string(char)
            elif char == '"' and self._depth == 1 and not self._is_key and self._key == KEY:
                return at + 1
            else:
                self._outside(char)
        return None

    def _in_string(self, char: str) -> None:
        if self._escaped:
            self._escaped = False
        elif char == '"':
            self._within = False
            return
        elif char == "\\":
            self._escaped = True
        if self._is_key and self._depth == 1 and len(self._key) <= len(KEY):
            self._key += char

    def _outside(self, char: str) -> None:
        if char.isspace():
            return
        if self._depth == 0:
            self._lost, self._depth, self._is_key = char != "{", 1, True
        elif char == '"':
            self._within = True
            self._key = "" if self._is_key and self._depth == 1 else self._key
        elif char in "{[":
            self._depth += 1
        elif char in "}]":
            self._depth -= 1
            self._lost = self._depth == 0
        elif self._depth == 1 and char in ":,":
            self._is_key = char == ","


@define(eq=False)
class _String:
    """What stands in a JSON string, unescaped; what is no escape stays as it is."""

    _held: str = ""
    _ended: bool = False

    def feed(self, fragment: str) -> str:
        """What this adds; nothing behind the closing quote."""
        if self._ended:
            return ""
        text, out, at = self._held + fragment, [], 0
        self._held = ""
        while found := _SPECIAL.search(text, at):
            out.append(text[at : found.start()])
            at = found.start()
            if text[at] == '"':
                self._ended = True
                return "".join(out)
            escape = _escape(text, at)
            if escape is None:
                self._held = text[at:]
                return "".join(out)
            char, at = escape
            out.append(char)
        return "".join([*out, text[at:]])


def _escape(text: str, at: int) -> tuple[str, int] | None:
    """What an escape means and where it ends; None while it is unfinished."""
    letter = text[at + 1 : at + 2]
    if not letter:
        return None
    if letter != "u":
        return _SHORT.get(letter, "\\" + letter), at + 2
    found = _HEX.match(text, at + 2)
    digits = found[0] if found is not None else ""
    end = at + 2 + len(digits)
    if len(digits) < 4:
        return None if end == len(text) else ("\\u", at + 2)
    code = int(digits, 16)
    if not 0xD800 <= code <= 0xDBFF:
        return chr(code), end
    if _LOW_BEGUN.fullmatch(text, end):
        return None
    if _LOW.match(text, end) is None:
        return chr(code), end
    return chr(0x10000 + ((code - 0xD800) << 10) + int(text[end + 2 : end + 6], 16) - 0xDC00), end + 6
