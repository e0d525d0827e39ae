"""What a back-end has learnt from its provider's refusals, for as long as it lives.

A provider that says no to one parameter, or to opaque state of another account, would say so again with each further turn of
the conversation. So it is asked once more without, and the next request does not fail first.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from attrs import define, evolve, field

from llmgw import jsons
from llmgw.errors import GatewayError, UpstreamError
from llmgw.model import Carrier, Item, Message, Part, Reasoning, Request, Text, ToolCall

if TYPE_CHECKING:
    from llmgw.stages import Dialect
    from llmgw.transport import Written

CARRIERS: Final = "opaque state"
"""The cure that leaves out all opaque state."""

MOST_REFUSALS: Final = 32
"""Refusals of carriers that are remembered; each costs a look at every request."""
MOST_REFUSED: Final = 4096
"""Carriers that are remembered as refused: a long conversation has hundreds."""
_TELLING: Final = 48
"""Characters at a carrier's end that tell it from others."""


@define(eq=False)
class Memory:
    """Of one back-end."""

    _fields: dict[str, dict[str, None]] = field(factory=dict)
    _refused: dict[bytes, None] = field(factory=dict)
    _first: dict[bytes, None] = field(factory=dict)
    """The first carrier of each refusal, by which the conversation is known again until it is shortened."""

    def cure(self, error: GatewayError, attempt: Written, model: str) -> str | None:
        """What to leave out so that the provider may take the request; it is left out of all that follow.

        Args:
            error: the provider's refusal.
            attempt: what was refused.
            model: the provider's name of it.
        """
        if not isinstance(error, UpstreamError):
            return None
        if error.cure == "carriers":
            found = [_telling(carrier) for item in attempt.request.prompt.items for carrier in _carriers(item)]
            _remember(self._refused, found, MOST_REFUSED)
            _remember(self._first, found[:1], MOST_REFUSALS)
            return CARRIERS if found else None
        if error.cure == "field" and attempt.crosses and error.param is not None:
            if not _has(jsons.loads(attempt.body), error.param):
                return None
            self._fields.setdefault(model, {})[error.param] = None
            return error.param
        return None

    def trimmed(self, model: str, body: bytes) -> tuple[bytes, list[str]]:
        """A body without the fields that this model's provider has refused, and which those were."""
        known = self._fields.get(model)
        if not known:
            return body, []
        tree = jsons.loads(body)
        left_out = [path for path in known if _drop(tree, path)]
        return (jsons.dumps(tree) if left_out else body), left_out

    def may_hold_refused(self, request: Request, dialect: Dialect) -> bool:
        """Whether a request may hold opaque state that was refused.

        Args:
            request: as the client sent it.
            dialect: in which it will be written; in another one than its own, opaque state may be wrapped.
        """
        if not self._refused:
            return False
        if request.raw is None or request.dialect != dialect.name:
            return True
        return any(request.raw.data.rfind(telling) >= 0 for telling in self._first)

    def without_carriers(self, request: Request, *, everything: bool) -> Request:
        """A request without opaque state.

        Args:
            request: as the client sent it.
            everything: not only what was refused before.
        """
        items = [self._stripped(item, everything) for item in request.prompt.items]
        if all(new is old for new, old in zip(items, request.prompt.items, strict=True)):
            return request
        return request.with_prompt(items=tuple(item for item in items if item is not None))

    def _stripped(self, item: Item, everything: bool) -> Item | None:
        """An item without; None where nothing is left of it."""
        if not isinstance(item, Message):
            return item
        parts: list[Part] = []
        for part in item.parts:
            carrier = getattr(part, "carrier", None)
            if not isinstance(carrier, Carrier) or not (everything or _telling(carrier) in self._refused):
                parts.append(part)
            elif isinstance(part, ToolCall) or (isinstance(part, Text) and part.text):
                parts.append(evolve(part, carrier=None))
        if len(parts) == len(item.parts) and all(new is old for new, old in zip(parts, item.parts, strict=True)):
            return item
        return evolve(item, parts=tuple(parts)) if parts else None


def _carriers(item: Item) -> list[Carrier]:
    parts = item.parts if isinstance(item, Message) else ()
    holders = [part for part in parts if isinstance(part, Reasoning | Text | ToolCall)]
    return [part.carrier for part in holders if part.carrier is not None and part.carrier.payload]


def _telling(carrier: Carrier) -> bytes:
    return carrier.payload[-_TELLING:].encode("utf-8", "surrogatepass")


def _remember(table: dict[bytes, None], found: Iterable[bytes], most: int) -> None:
    """Add to a table, whose oldest go when it grows too large."""
    for one in found:
        table.pop(one, None)
        table[one] = None
    while len(table) > most:
        del table[next(iter(table))]


def _has(tree: Any, path: str) -> bool:
    *above, last = path.split(".")
    for step in above:
        tree = tree.get(step) if isinstance(tree, dict) else None
    return isinstance(tree, dict) and last in tree


def _drop(tree: Any, path: str) -> bool:
    if not _has(tree, path):
        return False
    *above, last = path.split(".")
    for step in above:
        tree = tree[step]
    del tree[last]
    return True
