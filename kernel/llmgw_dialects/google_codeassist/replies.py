"""Responses in their envelope, which also has the id by which Google finds the exchange again."""

from __future__ import annotations

from typing import Any, ClassVar, Final

from attrs import define

from llmgw.events import Event, Frame, framed
from llmgw.model import JSON, Request
from llmgw.splice import Path
from llmgw_dialects.google_gemini.bodies import Gathered
from llmgw_dialects.google_gemini.candidates import ChunkReader
from llmgw_dialects.google_gemini.envelopes import CODE_ASSIST, response_in
from llmgw_dialects.google_gemini.grammar import GeminiGrammar
from llmgw_dialects.google_gemini.names import has
from llmgw_dialects.google_gemini.writing import GeminiArrayWriter, GeminiStreamWriter

NAME: Final = CODE_ASSIST
_TRACE: Final = "traceId"


class CodeAssistGrammar(GeminiGrammar):
    """Of Code Assist."""

    name: ClassVar[str] = NAME
    wanted: ClassVar[str] = "a response with candidates, in its envelope"


GRAMMAR: Final = CodeAssistGrammar()


@define(eq=False)
class EnvelopedReader(ChunkReader):
    """Reads chunks in their envelopes."""

    below: Path = ("response",)

    def read(self, name: str, tree: dict[str, Any]) -> list[Event]:
        """What one chunk, or a whole body, says."""
        inner = response_in(NAME, tree)
        if isinstance(trace := tree.get(_TRACE), str) and not has(inner, "responseId"):
            inner = {**inner, "responseId": trace}
        return super().read(name, inner)


@define(eq=False)
class EnvelopedRereader(EnvelopedReader):
    """Reads the provider's own body once more."""

    def read(self, name: str, tree: dict[str, Any]) -> list[Event]:
        """What the body says."""
        return framed(super().read(name, tree), Frame(NAME, b"", tree=tree))


@define(eq=False)
class EnvelopedGathered(Gathered):
    """The events of a reply, gathered into a body in its envelope."""

    def body(self, request: Request, like: JSON) -> dict[str, JSON]:
        """A response, enclosed."""
        response = super().body(request, response_in(NAME, like))
        trace = response.get("responseId")
        return {"response": response, _TRACE: trace} if trace else {"response": response}


@define(eq=False)
class EnvelopedStreamWriter(GeminiStreamWriter):
    """Writes server-sent events with envelopes."""

    name: ClassVar[str] = NAME

    def enclosed(self, response: JSON) -> JSON:
        """The response in a new envelope."""
        return _enclosed(response)


@define(eq=False)
class EnvelopedArrayWriter(GeminiArrayWriter):
    """Writes one array of envelopes."""

    name: ClassVar[str] = NAME

    def enclosed(self, response: JSON) -> JSON:
        """The response in a new envelope."""
        return _enclosed(response)


def _enclosed(response: JSON) -> JSON:
    trace = response.get("responseId") if isinstance(response, dict) else None
    return {"response": response, _TRACE: trace} if trace else {"response": response}
