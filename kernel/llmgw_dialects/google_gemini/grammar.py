"""What frames and bodies mean, as far as readers and relays must know."""

from __future__ import annotations

import re
from typing import Any, ClassVar, Final

from attrs import define, field

from llmgw import sse
from llmgw.model import JSON
from llmgw_dialects.failures import loaded
from llmgw_dialects.google_gemini.envelopes import response_in
from llmgw_dialects.google_gemini.names import NAME, at, candidates_of, has, index_of, object_of, parts_of

_FINISHED: Final = re.compile(rb'"finish(?:R|_r)eason"\s*+:')
_BLOCKED: Final = re.compile(rb'"block(?:R|_r)eason"\s*+:')
_OTHERS: Final = re.compile(rb'"index"\s*+:\s*+[1-9]')
"""The number of a candidate that is not the first."""
_AT_ONCE: Final = 32
_LARGE: Final = 2**16


class GeminiGrammar:
    """Of generateContent."""

    name: ClassVar[str] = NAME
    remembers: ClassVar[bool] = False
    wanted: ClassVar[str] = "a response with candidates"

    def inner(self, tree: JSON) -> JSON:
        """The response in a frame's or body's JSON."""
        return response_in(self.name, tree)

    def is_body(self, tree: dict[str, Any]) -> bool:
        """Whether this is a response."""
        inner = self.inner(tree)
        return isinstance(inner, dict) and any(has(inner, key) for key in ("candidates", "promptFeedback", "usageMetadata"))

    def says(self, name: str, tree: dict[str, Any]) -> bool:
        """Whether a chunk has parts, or an end."""
        inner = self.inner(tree)
        for candidate in candidates_of(inner):
            if at(candidate, "finishReason") or any(part.keys() - {"text"} or part.get("text") for part in parts_of(candidate)):
                return True
        return bool(at(object_of(inner, "promptFeedback"), "blockReason"))

    def suspects(self, block: bytes) -> bool:
        """Chunks have no key called error."""
        return block.rfind(b'"error"') >= 0

    def error_in(self, name: str, tree: JSON) -> JSON:
        """The error in a body or chunk that came with a 200, bare or in a list; None if there is none."""
        match tree:
            case [dict(first), *_]:
                return first.get("error")
            case dict():
                return tree.get("error")
            case _:
                return None


GRAMMAR: Final = GeminiGrammar()


@define(eq=False)
class Ends:
    """Looks for the ends of candidates: there is no frame that says that all is said.

    JSON is read only of frames that may end a candidate, or begin another than the first.
    """

    grammar: GeminiGrammar = GRAMMAR
    _unsearched: list[bytes] = field(factory=list)
    _size: int = 0
    _seen: set[int] = field(factory=set)
    _finished: set[int] = field(factory=set)
    _blocked: bool = False

    def passed(self, block: bytes) -> bool:
        """Look at whole frames; none of them is the last."""
        self._unsearched.append(block)
        self._size += len(block)
        if len(self._unsearched) >= _AT_ONCE or self._size >= _LARGE:
            self._search()
        return False

    def finishes(self) -> bool:
        """Whether each candidate that began has ended, now that the provider has closed."""
        self._search()
        return self._blocked or (bool(self._finished) and self._seen <= self._finished)

    def _search(self) -> None:
        passed, self._unsearched, self._size = b"".join(self._unsearched), [], 0
        if passed and not self._tells(passed):
            self._seen.add(0)
            return
        for frame in sse.frames(passed):
            if self._tells(frame):
                self.look(loaded(sse.parse(frame)[1] or b""))

    def look(self, tree: JSON) -> None:
        """Take note of which candidates a chunk begins and ends."""
        tree = self.grammar.inner(tree)
        for position, candidate in enumerate(candidates_of(tree)):
            index = index_of(candidate, position)
            self._seen.add(index)
            if at(candidate, "finishReason"):
                self._finished.add(index)
        self._blocked = self._blocked or bool(at(object_of(tree, "promptFeedback"), "blockReason"))

    @staticmethod
    def _tells(data: bytes) -> bool:
        return any(found.search(data) is not None for found in (_FINISHED, _BLOCKED, _OTHERS))
