"""A code fence around a text that must not have one."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Final

from attrs import define

from llmgw.model import CustomTool

_FENCE: Final = "```"
_CLOSING: Final = re.compile(r"(?:\n|\A)(?:`{1,2}|```\s*)\Z|\n\Z")
"""An end of text that may be, or become, the closing fence."""
_RULE: Final = re.compile(r"^[?!]?(\w+)(?:\.\d+)?[ \t]*:[ \t]*(.+(?:\n[ \t]*\|.*|\n[ \t]+\S.*)*)", re.MULTILINE)
_WORD: Final = re.compile(r'"(?:\\.|[^"\\])*"|/(?:\\.|[^/\\])+/|\||\w+|\S')
_DEEPEST: Final = 12


@define(eq=False)
class Unfenced:
    """Takes the fence from a text that begins with one; any other text passes as it comes."""

    _held: str = ""
    _fenced: bool | None = None

    def feed(self, text: str) -> str:
        """What may be told of the text now."""
        self._held += text
        if self._fenced is None:
            self._decide()
        if self._fenced is None:
            return ""
        closing = _CLOSING.search(self._held) if self._fenced else None
        kept = len(self._held) if closing is None else closing.start()
        told, self._held = self._held[:kept], self._held[kept:]
        return told

    def close(self) -> str:
        """What is left."""
        rest, self._held = self._held, ""
        return "" if self._fenced and rest.strip().startswith(_FENCE) else rest

    def _decide(self) -> None:
        begun = self._held.lstrip()
        if not begun.startswith(_FENCE):
            self._fenced = None if _FENCE.startswith(begun) else False
        elif (end := begun.find("\n")) >= 0:
            self._fenced, self._held = True, begun[end + 1 :]


def unfits(tool: CustomTool) -> bool:
    """Whether a text that begins with a fence cannot be of a tool's grammar; False where that cannot be told."""
    if not tool.definition or tool.syntax == "text":
        return False
    if tool.syntax == "regex":
        begin = tool.definition.removeprefix("^")[:1]
        return bool(begin) and (begin.isalnum() or begin in "<>=#*%@!~-_:;") and tool.definition[1:2] not in tuple("*?{|")
    rules = {found[1]: found[2] for found in _RULE.finditer(tool.definition)}
    begins = _begins("start", rules, _DEEPEST)
    return begins is not None and not any(begin.startswith("`") for begin in begins)


def _begins(rule: str, rules: dict[str, str], deep: int) -> set[str] | None:
    """The words with which texts of a rule begin; None where they cannot be told."""
    words: list[str] = _WORD.findall(rules.get(rule, ""))
    heads = [word for before, word in pairwise(["|", *words]) if before == "|"]
    after = [word for before, word in pairwise(words) if before in heads]
    if not heads or not deep or any(word in "*?~" for word in after):
        return None
    out: set[str] = set()
    for head in heads:
        found = {head[1:-1]} if head[0] == '"' and len(head) > 2 else _begins(head, rules, deep - 1)
        if found is None:
            return None
        out |= found
    return out
