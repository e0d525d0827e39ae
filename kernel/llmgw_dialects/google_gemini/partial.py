"""Arguments that come in pieces, as Vertex sends them where a client asks for it: values, and where each belongs."""

from __future__ import annotations

import re
from typing import Any, Final

from attrs import define, field

from llmgw import jsons
from llmgw.model import JSON
from llmgw_dialects.google_gemini.names import at, has, objects_of, text_of

_STEP: Final = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]|\[(?:'([^']*)'|\"([^\"]*)\")\]")


def is_partial(call: dict[str, Any]) -> bool:
    """Whether a call is but a piece of one."""
    return has(call, "partialArgs") or at(call, "willContinue") is True


@define(eq=False)
class PartialCall:
    """A call as it grows."""

    block: int
    _args: dict[str, Any] = field(factory=dict)

    def take(self, call: dict[str, Any]) -> bool:
        """Take a piece; whether it is the last."""
        given = call.get("args")
        if isinstance(given, dict):
            self._args.update(given)
        for entry in objects_of(call, "partialArgs"):
            self._put(_steps(text_of(entry, "jsonPath")), entry)
        return at(call, "willContinue") is not True

    @property
    def text(self) -> str:
        """The arguments so far."""
        return jsons.dumps(self._args).decode("utf-8", "surrogatepass")

    def _put(self, steps: list[str | int], entry: dict[str, Any]) -> None:
        node: Any = self._args
        for step, following in zip(steps, [*steps[1:], None], strict=True):
            if following is None:
                _set(node, step, _value(entry))
            else:
                node = _below(node, step, [] if isinstance(following, int) else {})


def _steps(path: str) -> list[str | int]:
    return [int(number) if number else name or quoted or other for name, number, quoted, other in _STEP.findall(path)]


def _below(node: Any, step: str | int, empty: Any) -> Any:
    if isinstance(node, list) and isinstance(step, int):
        while len(node) <= step:
            node.append(empty)
        return node[step]
    if isinstance(node, dict):
        return node.setdefault(str(step), empty)
    return {}


def _set(node: Any, step: str | int, value: JSON) -> None:
    if isinstance(node, list) and isinstance(step, int):
        if step < len(node):
            node[step] = _grown(node[step], value)
        else:
            node.append(value)
    elif isinstance(node, dict):
        node[str(step)] = _grown(node.get(str(step)), value)


def _grown(old: JSON, value: JSON) -> JSON:
    return old + value if isinstance(old, str) and isinstance(value, str) else value


def _value(entry: dict[str, Any]) -> JSON:
    for key in ("stringValue", "numberValue", "boolValue"):
        value = at(entry, key)
        if value is not None:
            return value
    return None
