"""What of a reply generateContent cannot say."""

from __future__ import annotations

from attrs import define

from llmgw.events import BlockMeta, BlockStart, Event
from llmgw.model import Citation, Loss
from llmgw_dialects.fields import spelled
from llmgw_dialects.google_gemini.citations import is_said
from llmgw_dialects.google_gemini.envelopes import OWN
from llmgw_dialects.google_gemini.names import NAME
from llmgw_dialects.google_gemini.parts import is_server


@define(eq=False)
class ReplyLosses:
    """Finds what of a reply Google has no word for, event by event.

    Args:
        found: takes the losses.
        name: the client's dialect.
    """

    found: list[Loss]
    name: str = NAME

    def feed(self, event: Event) -> None:
        """Take one event more."""
        if not isinstance(event, BlockStart | BlockMeta) or (event.frame is not None and event.frame.dialect in OWN):
            return
        match event:
            case BlockStart(kind="custom_tool_call"):
                self._lost(event, "tool_call.custom", "emulated")
            case BlockStart() if not _is_said(event):
                self._lost(event, event.kind)
            case BlockMeta(value=Citation() as citation) if not is_said(citation):
                self._lost(event, f"citation.{citation.kind}")
            case _:
                pass

    def _lost(self, event: BlockStart | BlockMeta, feature: str, action: str = "dropped") -> None:
        path = spelled(("choices", event.choice, "parts", event.index))
        meta = event.meta.get("dialect") if isinstance(event, BlockStart) else ""
        came = event.frame.dialect if event.frame is not None else str(meta or "")
        self.found.append(Loss(path, feature, action, came, self.name))  # type: ignore[arg-type]  # one of its words


def _is_said(event: BlockStart) -> bool:
    match event.kind:
        case "server_tool_call" | "server_tool_result":
            raw = event.meta.get("raw")
            return isinstance(raw, dict) and is_server(raw)
        case "opaque":
            return event.meta.get("dialect") in OWN
        case _:
            return True
