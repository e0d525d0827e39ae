"""Change some nodes of a JSON text and leave every other byte as it was.

A *template* says what the new text holds: ``KEEP`` is whatever stands at this place, a ``Kept(path)`` is the text of
another place, dicts and lists are looked into, anything else is a new value. Key order, spacing, escapes and the spelling of
numbers survive wherever nothing changed, so a provider's prompt cache and a signature over the text do too.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

from attrs import frozen

from llmgw import jsons

Path = tuple[str | int, ...]


@frozen
class Kept:
    """The original text at ``path``, counted from the root."""

    path: Path


class _Keep:
    def __repr__(self) -> str:
        return "KEEP"


KEEP: Final = _Keep()
"""The original text at this very place."""

_DECODER = json.JSONDecoder(strict=False)
_SPACE = " \t\n\r"


def splice(data: bytes, template: Any) -> bytes:
    """Write ``template``, taking what it keeps from ``data``.

    Args:
        data: a JSON text that a parser has accepted.
        template: JSON values, ``KEEP`` and ``Kept(path)``. A dict with the keys of the original object, in their order, and
            a list of the original array's length are changed in place; others are written anew, compact, around what they keep.

    Returns:
        UTF-8.
    """
    return _Splicer(data.decode()).render(template, 0).encode("utf-8", "surrogatepass")


def merged(original: Any, changes: dict[str, Any], drop: frozenset[str] = frozenset()) -> dict[str, Any]:
    """A template for an object some of whose keys change: known keys keep their place, new ones follow.

    Args:
        original: the object as read; keys that ``changes`` does not name are kept unless dropped.
        changes: templates; one equal to the original value is kept as text.
        drop: keys to leave out.
    """
    out: dict[str, Any] = {}
    for key, value in original.items():
        if key in changes:
            out[key] = KEEP if same(changes[key], value) else changes[key]
        elif key not in drop:
            out[key] = KEEP
    out.update((key, value) for key, value in changes.items() if key not in original)
    return out


def same(a: Any, b: Any) -> bool:
    """JSON equality: unlike Python's, ``1`` is not ``true`` and ``1.0`` is not ``1``."""
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(value, b[key]) for key, value in a.items())
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    return bool(a == b)


class _Splicer:
    """One text; ``at`` is always the index of a value's first character."""

    def __init__(self, text: str) -> None:
        self.text = text

    def render(self, template: Any, at: int | None) -> str:
        if template is KEEP:
            assert at is not None, "KEEP where the original has nothing"
            return self.text[self.start(at) : self.end(at)]
        if isinstance(template, Kept):
            return self.render(KEEP, self.find(template.path))
        if isinstance(template, dict):
            return self.object(template, at)
        if isinstance(template, list):
            return self.array(template, at)
        return jsons.dumps(template).decode()

    def object(self, template: dict[str, Any], at: int | None) -> str:
        old = list(self.members(at)) if at is not None and self.text[self.start(at)] == "{" else []
        if old and [key for key, _, _ in old] == list(template):
            return self.patched([(begin, end, template[key]) for key, begin, end in old], at)
        where = {key: begin for key, begin, _ in old}
        pairs = (f"{jsons.dumps(key).decode()}:{self.render(value, where.get(key))}" for key, value in template.items())
        return "{" + ",".join(pairs) + "}"

    def array(self, template: list[Any], at: int | None) -> str:
        old = list(self.elements(at)) if at is not None and self.text[self.start(at)] == "[" else []
        if old and len(old) == len(template):
            return self.patched([(*span, value) for span, value in zip(old, template, strict=True)], at)
        starts = [begin for begin, _ in old]
        values = (self.render(value, starts[n] if n < len(starts) else None) for n, value in enumerate(template))
        return "[" + ",".join(values) + "]"

    def patched(self, spans: list[tuple[int, int, Any]], at: int | None) -> str:
        assert at is not None
        out, done = [], self.start(at)
        for begin, end, template in spans:
            if template is not KEEP:
                out += [self.text[done:begin], self.render(template, begin)]
                done = end
        out.append(self.text[done : self.end(at)])
        return "".join(out)

    def find(self, path: Path) -> int:
        at = 0
        for step in path:
            if isinstance(step, int):
                at = next(begin for n, (begin, _) in enumerate(self.elements(at)) if n == step)
            else:  # of duplicate keys the last counts
                at = [begin for key, begin, _ in self.members(at) if key == step][-1]
        return at

    def members(self, at: int) -> Iterator[tuple[str, int, int]]:
        """Key, start and end of each value of the object at ``at``."""
        at = self.start(self.start(at) + 1)
        while self.text[at] != "}":
            key, at = json.decoder.scanstring(self.text, at + 1, False)  # type: ignore[attr-defined]  # undocumented, in CPython since 2.6
            begin = self.start(self.start(at) + 1)
            end = self.end(begin)
            yield key, begin, end
            at = self.start(end)
            if self.text[at] == ",":
                at = self.start(at + 1)

    def elements(self, at: int) -> Iterator[tuple[int, int]]:
        """Start and end of each value of the array at ``at``."""
        at = self.start(self.start(at) + 1)
        while self.text[at] != "]":
            end = self.end(at)
            yield at, end
            at = self.start(end)
            if self.text[at] == ",":
                at = self.start(at + 1)

    def start(self, at: int) -> int:
        while self.text[at] in _SPACE:
            at += 1
        return at

    def end(self, at: int) -> int:
        return _DECODER.raw_decode(self.text, self.start(at))[1]
