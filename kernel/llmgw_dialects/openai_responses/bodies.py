"""Events become a client's whole body, once the last of them has come."""

from __future__ import annotations

from attrs import define, field

from llmgw.events import Event, Raw, ResponseEnd
from llmgw.model import JSON, Request
from llmgw_dialects.openai_responses.emitting import Emitter
from llmgw_dialects.openai_responses.names import NAME, dict_of, text_of


@define(eq=False)
class Gathered:
    """The events of a reply, folded into a response.

    Args:
        request: what is answered.
    """

    request: Request
    _emitter: Emitter = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._emitter = Emitter(self.request)

    def feed(self, event: Event) -> None:
        """Take one event more."""
        tree = event.frame.tree if event.frame is not None and event.frame.dialect == NAME else None
        at = tree.get("output_index") if isinstance(tree, dict) else None
        place = at if isinstance(at, int) else None
        self._emitter.feed(event, place)
        if not isinstance(tree, dict):
            return
        if isinstance(event, Raw) and place is not None:
            self._noted(text_of(tree, "type"), tree, place)
        if isinstance(event, ResponseEnd) and "response" in tree:
            self._emitter.base, self._emitter.named = dict_of(tree, "response"), True

    def _noted(self, kind: str, tree: dict[str, JSON], place: int) -> None:
        item, built = dict_of(tree, "item"), self._emitter.at(place)
        if kind == "response.output_item.added":
            self._emitter.foresee(item, place)
        elif kind == "response.output_item.done" and built is not None:
            self._emitter.close(built, item)

    def body(self, request: Request, like: JSON) -> dict[str, JSON]:
        """A response.

        Args:
            request: what it answers.
            like: the provider's own, in whose place it stands, if there is one.
        """
        self._emitter.finish()
        made = self._emitter.response()
        if isinstance(like, dict) and like.get("object") == "response.compaction":
            return {key: made[key] for key in ("id", "object", "created_at", "output", "usage")}
        return made
