"""What frames and bodies mean, as far as readers and relays of all dialects must know."""

from __future__ import annotations

import re
from typing import Any, ClassVar, Final

from attrs import define, field

from llmgw import sse
from llmgw.model import JSON
from llmgw_dialects.failures import loaded
from llmgw_dialects.openai_chat.names import NAME, choices_of, index_of

_FINISHED: Final = re.compile(rb'"finish_reason"\s*:\s*"[^"]')
_NUMBERED: Final = rb'"index"(?<!"tool_calls":\[\{"index")(?<!"tool_calls": \[\{"index")\s*+:\s*+'
"""Before the number of a choice, or of something else but a tool call, as those write who begin a call with its number."""
_INDEX: Final = re.compile(_NUMBERED + rb"(-?\d{1,9})")
_NOT_ZERO: Final = re.compile(_NUMBERED + rb"(?!0\b)")
_ONE_CHOICE: Final = frozenset({0})

_AT_ONCE: Final = 32
_LARGE: Final = 2**16
"""Blocks and bytes of one: so much is kept to be searched at once; of most streams not all, of none more than two megabytes."""

_DONE: Final = re.compile(rb"(?:^|[\r\n])data: ?\[DONE\]")


class ChatGrammar:
    """Of Chat Completions."""

    name: ClassVar[str] = NAME
    remembers: ClassVar[bool] = False
    wanted: ClassVar[str] = "a chat completion with a list of choices"

    def is_body(self, tree: dict[str, Any]) -> bool:
        """Whether this is a chat completion."""
        return isinstance(tree.get("choices"), list)

    def says(self, name: str, tree: dict[str, Any]) -> bool:
        """Whether a chunk has more than a role."""
        for choice in choices_of(tree):
            delta = choice.get("delta") or choice.get("message")
            if choice.get("finish_reason") or (isinstance(delta, dict) and any(v for key, v in delta.items() if key != "role")):
                return True
        return False

    def suspects(self, block: bytes) -> bool:
        """Chunks have no event names, and no key called error."""
        return block.rfind(b'"error"') >= 0 or block.rfind(b"event:") >= 0

    def error_in(self, name: str, tree: JSON) -> JSON:
        """The error in a body or chunk that came with a 200; None if there is none."""
        if not isinstance(tree, dict):
            return None
        if error := tree.get("error"):
            return error
        for choice in choices_of(tree):
            if (error := choice.get("error")) and isinstance(error, dict):  # OpenRouter
                return error
        if "choices" not in tree and tree.get("object") == "error":  # Mistral, vLLM
            return tree
        return None


GRAMMAR: Final = ChatGrammar()


@define(eq=False)
class Ends:
    """Looks for ``[DONE]``, and for the ends of choices where a provider does not say that.

    JSON is read only of frames in which a choice may begin or end.
    """

    _unsearched: list[bytes] = field(factory=list)
    _seen: set[int] = field(factory=set)
    _finished: set[int] = field(factory=set)

    def passed(self, block: bytes) -> bool:
        """Look at whole frames; whether ``[DONE]`` is among them."""
        at = block.rfind(b"[DONE]")
        if at >= 0 and _DONE.search(block, max(0, at - 8)) is not None:
            return True
        self._unsearched.append(block)
        if len(self._unsearched) >= _AT_ONCE or len(block) >= _LARGE:
            self._search()
        return False

    def finishes(self) -> bool:
        """Whether each choice that began has ended, now that the provider has closed without saying that all is said."""
        self._search()
        return bool(self._finished) and self._seen <= self._finished

    def _search(self) -> None:
        passed, self._unsearched = b"".join(self._unsearched), []
        if self._known(passed):
            return
        for frame in sse.frames(passed):
            if not self._known(frame):
                tree = loaded(sse.parse(frame)[1] or b"")
                for position, choice in enumerate(choices_of(tree)):
                    index, reason = index_of(choice, position), choice.get("finish_reason")
                    self._seen.add(index)
                    if reason and isinstance(reason, str):
                        self._finished.add(index)

    def _known(self, data: bytes) -> bool:
        """Whether these frames end no choice, and hold no number that is not one of a choice we know."""
        if _FINISHED.search(data) is not None:
            return False
        if self._seen == _ONE_CHOICE:  # as nearly always
            return _NOT_ZERO.search(data) is None
        return self._seen.issuperset(map(int, _INDEX.findall(data)))
