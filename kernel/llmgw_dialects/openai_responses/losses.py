"""What of a reply Responses cannot say."""

from __future__ import annotations

from attrs import define, field

from llmgw.events import BlockMeta, BlockStart, Event
from llmgw.model import Citation, Loss, Request
from llmgw_dialects.fields import spelled
from llmgw_dialects.openai_responses.citations import can_write
from llmgw_dialects.openai_responses.names import NAME
from llmgw_dialects.openai_responses.things import thing_of


@define(eq=False)
class ReplyLosses:
    """Finds what of a reply Responses has no word for, event by event; what came in this dialect and was left alone has one.

    Args:
        found: takes the losses.
        request: what is answered: items of a vendor's tools are told only to a client that asked for these.
    """

    found: list[Loss]
    request: Request
    _choices: set[int] = field(factory=set)

    def feed(self, event: Event) -> None:
        """Take one event more."""
        if not isinstance(event, BlockStart | BlockMeta):
            return
        if event.frame is not None and event.frame.dialect == NAME and event.pristine:
            return
        match event:
            case BlockStart(choice=choice) if choice and choice not in self._choices:
                self._choices.add(choice)
                self._dropped(event, "n")
            case BlockStart(choice=0) if not self._is_said(event):
                self._dropped(event, event.kind, str(event.meta.get("tool") or event.meta.get("dialect") or ""))
            case BlockMeta(choice=0, value=Citation() as citation) if not can_write(citation):
                self._dropped(event, f"citation.{citation.kind}")
            case _:
                pass

    def _is_said(self, event: BlockStart) -> bool:
        if event.kind in ("server_tool_call", "server_tool_result", "opaque", "media"):
            return thing_of(event, self.request, "data") is not None
        return True

    def _dropped(self, event: BlockStart | BlockMeta, feature: str, what: str = "") -> None:
        path = spelled(("output", event.index))
        came = event.frame.dialect if event.frame is not None else what
        self.found.append(Loss(path, feature, "dropped", came, NAME))
