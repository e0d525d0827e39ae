"""What of a reply Anthropic Messages cannot say."""

from __future__ import annotations

from attrs import define, field

from llmgw.events import BlockMeta, BlockStart, Event
from llmgw.model import Carrier, Citation, Loss
from llmgw_dialects.anthropic_messages.citations import write_citation
from llmgw_dialects.anthropic_messages.frames import is_own
from llmgw_dialects.anthropic_messages.laying import served_content
from llmgw_dialects.anthropic_messages.names import NAME
from llmgw_dialects.fields import spelled


@define(eq=False)
class ReplyLosses:
    """Finds what of a reply Anthropic has no word for, event by event; what came in this dialect has one.

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
        if is_own(event):
            return
        match event:
            case BlockStart() if event.choice > 0:
                self._dropped(event, "n")
            case BlockStart() if not _is_said(event):
                self._dropped(event, event.kind, str(event.meta.get("dialect", "")))
            case BlockMeta(value=Citation() as citation) if write_citation(citation) is None:
                self._dropped(event, f"citation.{citation.kind}")
            case BlockMeta(value=Carrier() as carrier) if not self._has_room(event):
                self._dropped(event, f"carrier.{carrier.kind}")
            case BlockMeta(what="logprobs"):
                self._dropped(event, "logprobs")
            case _:
                pass

    def _has_room(self, event: BlockMeta) -> bool:
        """A call's carrier stays with its id, where it does not go into the reply."""
        block = self._blocks.get((event.choice, event.index))
        if block is None or block.kind == "reasoning":
            return True
        return block.kind in ("tool_call", "custom_tool_call") and bool(block.meta.get("call_id"))

    def _dropped(self, event: BlockStart | BlockMeta, feature: str, dialect: str = "") -> None:
        came = event.frame.dialect if event.frame is not None else dialect
        self.found.append(Loss(spelled(("content", event.index)), feature, "dropped", came, NAME))


def _is_said(event: BlockStart) -> bool:
    match event.kind:
        case "media":
            return False
        case "server_tool_call" | "server_tool_result" | "opaque":
            return served_content(event.kind, dict(event.meta)) is not None
        case _:
            return True
