"""What frames and bodies mean, as far as readers and relays of all dialects must know."""

from __future__ import annotations

import re
from typing import Any, ClassVar, Final

from attrs import define

from llmgw.model import JSON
from llmgw_dialects.anthropic_messages.names import NAME

_ENDED: Final = re.compile(rb'"stop_reason"\s*:\s*"')


class MessagesGrammar:
    """Of Anthropic Messages."""

    name: ClassVar[str] = NAME
    remembers: ClassVar[bool] = False
    wanted: ClassVar[str] = "a message with a list of blocks"

    def is_body(self, tree: dict[str, Any]) -> bool:
        """Whether this is a message."""
        return isinstance(tree.get("content"), list)

    def says(self, name: str, tree: dict[str, Any]) -> bool:
        """Whether a frame is more than the opening of a message, or a sign of life."""
        return (tree.get("type") or name) not in ("message_start", "ping")

    def suspects(self, block: bytes) -> bool:
        """Every frame has an event's name, and that of an error says so; within a JSON text quotes are escaped."""
        return block.rfind(b'"error"') >= 0 or block.rfind(b"event: error") >= 0 or block.rfind(b"event:error") >= 0

    def error_in(self, name: str, tree: JSON) -> JSON:
        """The error in a body or frame that came with a 200; None if there is none."""
        if not isinstance(tree, dict):
            return None
        if tree.get("type") == "error":
            return tree.get("error") or tree
        return tree.get("error") if "type" not in tree and "content" not in tree else None


GRAMMAR: Final = MessagesGrammar()


@define(eq=False)
class Ends:
    """Looks for ``message_stop``, and for a reason to stop where a provider closes without it."""

    _stopped: bool = False

    def passed(self, block: bytes) -> bool:
        """Look at whole frames; whether ``message_stop`` is among them."""
        if not self._stopped and block.rfind(b'"stop_reason"') >= 0:
            self._stopped = _ENDED.search(block) is not None
        return block.rfind(b'"message_stop"') >= 0

    def finishes(self) -> bool:
        """Whether the provider has said why the reply ended, now that it has closed."""
        return self._stopped
