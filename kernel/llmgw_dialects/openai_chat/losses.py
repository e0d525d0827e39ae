"""What of a reply Chat Completions cannot say."""

from __future__ import annotations

from attrs import define, field

from llmgw.events import BlockMeta, BlockStart, Event
from llmgw.model import Carrier, Citation, Loss
from llmgw_dialects.fields import spelled
from llmgw_dialects.openai_chat.citations import write_citation
from llmgw_dialects.openai_chat.names import NAME


@define(eq=False)
class ReplyLosses:
    """Finds what of a reply Chat has no word for, event by event; what came in this dialect and was left alone has one.

    Args:
        found: takes the losses.
    """

    found: list[Loss]
    _blocks: dict[tuple[int, int], BlockStart] = field(factory=dict)

    def feed(self, event: Event) -> None:
        """Take one event more."""
        if not isinstance(event, BlockStart | BlockMeta):
            return
        if isinstance(event, BlockStart):
            self._blocks[event.choice, event.index] = event
        if event.frame is not None and event.frame.dialect == NAME and event.pristine:
            return
        match event:
            case BlockStart() if not _is_said(event):
                self._dropped(event, event.kind, str(event.meta.get("dialect", "")))
            case BlockMeta(value=Citation() as citation) if write_citation(citation) is None:
                self._dropped(event, f"citation.{citation.kind}")
            case BlockMeta(value=Carrier() as carrier) if not self._has_room(event, carrier):
                self._dropped(event, f"carrier.{carrier.kind}")
            case _:
                pass

    def _has_room(self, event: BlockMeta, carrier: Carrier) -> bool:
        block = self._blocks.get((event.choice, event.index))
        match carrier.kind, block and block.kind:
            case (_, "reasoning"):
                return True
            case ("thought_signature", "tool_call" | "custom_tool_call"):
                return block is not None and not block.meta.get("legacy")
            case _:
                return False

    def _dropped(self, event: BlockStart | BlockMeta, feature: str, dialect: str = "") -> None:
        path = spelled(("choices", event.choice, "parts", event.index))
        came = event.frame.dialect if event.frame is not None else dialect
        self.found.append(Loss(path, feature, "dropped", came, NAME))


def _is_said(event: BlockStart) -> bool:
    match event.kind:
        case "server_tool_call" | "server_tool_result":
            return False
        case "media":
            return event.meta.get("type") == "audio"
        case "opaque":
            return event.meta.get("dialect") == NAME
        case _:
            return True
