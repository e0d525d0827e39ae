"""Code Assist, as the Gemini CLI speaks it with a Google account: Gemini's requests and responses, each in an envelope."""

from __future__ import annotations

from typing import ClassVar, Final

from llmgw import jsons
from llmgw.model import Loss, Request
from llmgw.stages import Head
from llmgw_dialects.google_codeassist import replies, requests
from llmgw_dialects.google_gemini import GoogleGemini
from llmgw_dialects.google_gemini.bodies import Gathered
from llmgw_dialects.google_gemini.candidates import ChunkReader
from llmgw_dialects.google_gemini.grammar import GeminiGrammar
from llmgw_dialects.google_gemini.writing import GeminiStreamWriter

__all__ = ["DIALECT", "GoogleCodeAssist"]


class GoogleCodeAssist(GoogleGemini):
    """The codec of Code Assist; all but the envelope is Gemini's."""

    name: ClassVar[str] = replies.NAME
    grammar: ClassVar[GeminiGrammar] = replies.GRAMMAR
    chunks: ClassVar[type[ChunkReader]] = replies.EnvelopedReader
    gather: ClassVar[type[Gathered]] = replies.EnvelopedGathered
    reread: ClassVar[type[ChunkReader]] = replies.EnvelopedRereader
    events: ClassVar[type[GeminiStreamWriter]] = replies.EnvelopedStreamWriter
    array: ClassVar[type[GeminiStreamWriter]] = replies.EnvelopedArrayWriter

    def read_request(self, head: Head, body: bytes) -> Request:
        """Read what routing needs; the prompt is read when somebody asks for it."""
        headers = {name: head.headers[name] for name in sorted(self.request_headers) if name in head.headers}
        return requests.read_request(head, body, headers)

    def write_request(self, request: Request, losses: list[Loss] | None = None) -> bytes:
        """Write a request; what nobody changed is copied if it came in one of Google's dialects."""
        body, found = requests.encode_request(request)
        if losses is not None:
            losses += found
        return body

    def claims(self, head: Head) -> bool:
        """Never by its headers: its paths are its own."""
        return False

    def spelled(self, setting: str) -> str:
        """How a client spells a setting, as ``request.generationConfig.topP``."""
        return setting if setting == "model" else f"request.{super().spelled(setting)}"

    def example(self, model: str) -> str:
        """The smallest request for a model."""
        contents = [{"role": "user", "parts": [{"text": "Say hello."}]}]
        return jsons.dumps({"model": model, "request": {"contents": contents}}).decode()


DIALECT: Final = GoogleCodeAssist()
