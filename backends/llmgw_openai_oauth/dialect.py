"""Responses as ChatGPT's server for Codex speaks it."""

from __future__ import annotations

from typing import Any, Final

from attrs import define, field

from llmgw import jsons, splice, sse
from llmgw.events import Event
from llmgw.model import Loss, Profile, Request
from llmgw.stages import Crossing, Reader
from llmgw_dialects.crossing import Leg, Step, Way
from llmgw_dialects.crossing.carriers import Carriers, Continuity
from llmgw_dialects.envelope import MARKS
from llmgw_dialects.failures import loaded
from llmgw_dialects.losses import Losses
from llmgw_dialects.openai_responses import OpenAIResponses
from llmgw_dialects.openai_responses.conversations import Conversations
from llmgw_dialects.openai_responses.grammar import GRAMMAR, LAST, ResponsesReader
from llmgw_dialects.openai_responses.names import dict_of, list_of, text_of
from llmgw_dialects.openai_responses.replies import ResponseReader
from llmgw_dialects.profiles import with_overrides
from llmgw_openai_oauth.fitting import fitted, keeps

_TELLING: Final = (b"response.output_item.done", b"response.completed", b"response.incomplete", b"codex.")
"""What stands in the frames that are looked into."""
_TAKES: Final = frozenset({"verbosity"})
_REFUSES: Final = ["store", "metadata"]
"""What is never written. Who asks is written first and left out then, for of some clients it tells the session."""


@define(eq=False)
class CodexReader(ResponsesReader):
    """Reads a stream whose last frame may be empty, and which may tell of the plan's limits.

    Args:
        native: whether Codex itself is to get it, which knows what only this server sends.
    """

    native: bool = False
    _items: dict[int, Any] = field(factory=dict)
    """What is done, by its place."""

    def _frame(self, frame: bytes, suspected: bool) -> list[Event]:
        if any(word in frame for word in _TELLING):
            name, data = sse.parse(frame)
            tree = loaded(data) if data is not None else None
            kind = text_of(tree, "type") or name if isinstance(tree, dict) else name
            if kind.startswith("codex.") and not self.native:
                return []  # OpenAI's SDKs count on ``response.created`` to come first
            if data is not None and isinstance(tree, dict):
                frame = self._filled(frame, data, kind, tree)
        return super()._frame(frame, suspected)

    def _filled(self, frame: bytes, data: bytes, kind: str, tree: dict[str, Any]) -> bytes:
        """The last frame, with what was said where it says that nothing was."""
        if kind == "response.output_item.done" and isinstance(tree.get("output_index"), int):
            self._items[tree["output_index"]] = tree.get("item")
        response = dict_of(tree, "response")
        if kind not in LAST or list_of(response, "output") or not self._items:
            return frame
        output = [self._items[at] for at in sorted(self._items)]
        made = splice.splice(data, splice.merged(tree, {"response": splice.merged(response, {"output": output})}))
        return b"event: " + kind.encode() + b"\ndata: " + made + b"\n\n"


class Codex(OpenAIResponses):
    """Responses without state, always streamed.

    Args:
        native: whether the client is Codex itself, whose frames pass as they are.
    """

    def __init__(self, *, native: bool) -> None:
        self.native = native

    def profile(self, model: str) -> Profile:
        """What is known of a model here, where fewer settings are taken and only two tools are OpenAI's own."""
        known = super().profile(model)
        return with_overrides(
            known,
            {
                "sampling": sorted(known.sampling & _TAKES),
                "server_tools": ["web_search", "image_generation"],
                "marks_max": 0,
                "counts": False,
                "refuses": _REFUSES,
            },
        )

    def crossing(self, request: Request, profile: Profile, losses: list[Loss]) -> Crossing | None:
        """The way there; one of this dialect takes it too, where the gateway must keep what OpenAI's API would have kept."""
        if request.dialect != self.name:
            return super().crossing(request, profile, losses)
        steps: list[type[Step]] = []
        tree = request.raw.tree if request.raw is not None and not self.native else {"store": False}
        if keeps(tree) or tree.get("previous_response_id"):
            steps.append(Conversations)
        if request.raw is not None and any(mark in request.raw.data for mark in MARKS):
            steps += [Carriers, Continuity]
        if self.native and not steps:
            return None
        leg = Leg(request, self.name, profile, Losses(self.name, request.dialect, losses))
        return Way(leg, [step(leg) for step in steps])

    def write_request(self, request: Request, losses: list[Loss] | None = None) -> bytes:
        """Write a request; of a client of this dialect all bytes are copied that the server takes as they are."""
        found = Losses(self.name, request.dialect)
        body = super().write_request(request, found.found)
        tree = jsons.loads(body)
        own = request.dialect == self.name
        changes, drop = fitted(tree, found, own=own, compact=request.operation == "compact")
        if losses is not None:
            losses += found.found
        return splice.splice(body, splice.merged(tree, changes, drop)) if changes or drop else body

    def is_stream(self, content_type: str, request: Request) -> bool:
        """Always, but for a history that was shortened; the server does not always say what it sends."""
        return request.operation != "compact" and not content_type.startswith("application/json")

    def reader(self, *, stream: bool) -> Reader:
        """Reads a reply event by event."""
        return CodexReader(GRAMMAR, ResponseReader(), native=self.native) if stream else super().reader(stream=False)


NATIVE: Final = Codex(native=True)
PLAIN: Final = Codex(native=False)
