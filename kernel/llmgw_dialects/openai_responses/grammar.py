"""What frames and bodies mean, as far as readers and relays of all dialects must know."""

from __future__ import annotations

import re
from typing import Any, ClassVar, Final

from attrs import define

from llmgw import sse
from llmgw.events import Error, Event, Frame, Raw, cut_short, framed
from llmgw.model import JSON
from llmgw_dialects.failures import loaded
from llmgw_dialects.openai_responses.names import NAME, dict_of
from llmgw_dialects.reading import EMPTY, StreamReader
from llmgw_dialects.relaying import StreamRelay

OPENING: Final = frozenset({"response.created", "response.in_progress", "response.queued", "keepalive"})
"""Frames that say nothing to the client yet."""
LAST: Final = frozenset({"response.completed", "response.incomplete"})
_ENDS: Final = re.compile(rb"response\.(?:completed|incomplete)\b")
_FAILED: Final = re.compile(rb'"type"\s*:\s*"(?:response\.failed|error)"|event: ?(?:response\.failed|error)\b')
_UNTYPED: Final = re.compile(rb'(?:^|[\r\n])data: ?\{\s*"error"')


class ResponsesGrammar:
    """Of Responses."""

    name: ClassVar[str] = NAME
    remembers: ClassVar[bool] = True
    wanted: ClassVar[str] = "a response with a list of output items"

    def is_body(self, tree: dict[str, Any]) -> bool:
        """Whether this is a response."""
        return isinstance(tree.get("output"), list)

    def says(self, name: str, tree: dict[str, Any]) -> bool:
        """Whether a frame is more than the announcement of a response."""
        return (tree.get("type") or name) not in OPENING

    def suspects(self, block: bytes) -> bool:
        """Errors are frames of their own; the word alone stands in every response that did not fail."""
        if block.rfind(b"response.failed") >= 0 or block.rfind(b"event: error") >= 0 or block.rfind(b"event:error") >= 0:
            return True
        if block.rfind(b'"error"') < 0:
            return False
        return _FAILED.search(block) is not None or _UNTYPED.search(block) is not None

    def error_in(self, name: str, tree: JSON) -> JSON:
        """The error in a body or frame that came with a 200; None if there is none."""
        if not isinstance(tree, dict):
            return None
        kind = tree.get("type") or name
        if kind == "response.failed":
            return dict_of(tree, "response").get("error") or {"message": "The provider says that the response failed."}
        if kind == "error":
            return tree.get("error") or {key: tree[key] for key in ("message", "code", "param") if tree.get(key) is not None}
        if str(kind).startswith("response."):
            return None
        if tree.get("status") == "failed":
            return tree.get("error") or {"message": "The provider says that the response failed."}
        return tree.get("error") or None


GRAMMAR: Final = ResponsesGrammar()


@define(eq=False)
class Ends:
    """Looks for the frame with the whole response, behind which nothing follows."""

    _done: bool = False

    def passed(self, block: bytes) -> bool:
        """Look at whole frames; whether the last one is among them."""
        if block.rfind(b"response.completed") < 0 and block.rfind(b"response.incomplete") < 0:
            return False
        for frame in sse.frames(block):
            if _ENDS.search(frame) is not None:
                name, data = sse.parse(frame)
                tree = None if name in LAST else loaded(data or b"")
                self._done |= name in LAST or (isinstance(tree, dict) and tree.get("type") in LAST)
        return self._done

    def finishes(self) -> bool:
        """Whether the response is complete, now that the provider has closed."""
        return self._done


@define(eq=False)
class ResponsesReader(StreamReader):
    """Reads a stream; ``[DONE]``, which some send, does not make a response complete."""

    def _done(self, frame: Frame) -> list[Event]:
        self._ended = True
        error = cut_short(EMPTY) if self.reply.empty else cut_short()
        return [*framed([Raw(dialect=NAME)], frame), Error(error=error)]


@define(eq=False)
class ResponsesRelay(StreamRelay):
    """Relays a stream; one that is announced and then done says nothing."""

    def _silent(self, done: bytes) -> list[Event]:
        return self._end(cut_short(EMPTY))
