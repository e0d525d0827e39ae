"""generateContent, the wire format of Google's Gemini API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Final

from attrs import evolve

from llmgw import jsons
from llmgw.errors import GatewayError, UpstreamError
from llmgw.model import Loss, ModelInfo, Profile, Request
from llmgw.stages import Crossing, Head, Reader, Relay, Writer
from llmgw_dialects.codec import Codec
from llmgw_dialects.conversation import by_opening
from llmgw_dialects.google_gemini import errors, requests, settings
from llmgw_dialects.google_gemini import models as lists
from llmgw_dialects.google_gemini.bodies import Gathered, GeminiWholeWriter, Rereader
from llmgw_dialects.google_gemini.candidates import ChunkReader
from llmgw_dialects.google_gemini.envelopes import OWN
from llmgw_dialects.google_gemini.grammar import GRAMMAR, Ends, GeminiGrammar
from llmgw_dialects.google_gemini.losses import ReplyLosses
from llmgw_dialects.google_gemini.names import NAME
from llmgw_dialects.google_gemini.requests import FRAMING, method
from llmgw_dialects.google_gemini.streams import (
    AnyReader,
    AnyRelay,
    ArrayReader,
    ArrayRelay,
    GeminiStreamReader,
    GeminiWholeReader,
)
from llmgw_dialects.google_gemini.writing import GeminiArrayWriter, GeminiStreamWriter
from llmgw_dialects.relaying import StreamRelay, WholeRelay

__all__ = ["DIALECT", "GoogleGemini", "method"]

_CLAIMED: Final = frozenset({"x-goog-api-key", "x-goog-api-client"})
_PASSED: Final = frozenset({"retry-after", "x-gemini-service-tier", "server-timing"})


class GoogleGemini(Codec):
    """The codec of generateContent; it has no state, so one serves all."""

    name: ClassVar[str] = NAME
    grammar: ClassVar[GeminiGrammar] = GRAMMAR
    chunks: ClassVar[type[ChunkReader]] = ChunkReader
    gather: ClassVar[type[Gathered]] = Gathered
    reread: ClassVar[type[ChunkReader]] = Rereader
    events: ClassVar[type[GeminiStreamWriter]] = GeminiStreamWriter
    array: ClassVar[type[GeminiStreamWriter]] = GeminiArrayWriter
    request_headers: ClassVar[frozenset[str]] = frozenset({"x-goog-user-project", "x-goog-request-params"})

    def read_request(self, head: Head, body: bytes) -> Request:
        """Read what routing needs; the prompt is read when somebody asks for it."""
        headers = {name: head.headers[name] for name in sorted(self.request_headers) if name in head.headers}
        return requests.read_request(head, body, headers)

    def write_request(self, request: Request, losses: list[Loss] | None = None) -> bytes:
        """Write a request; what nobody changed is copied if it came in this dialect."""
        body, found = requests.encode_request(request)
        if losses is not None:
            losses += found
        return body

    def forwarded(self, headers: Mapping[str, str]) -> Mapping[str, str]:
        """All but what we have noted there ourselves."""
        return {name: value for name, value in headers.items() if not name.startswith(":")}

    def is_stream(self, content_type: str, request: Request) -> bool:
        """Whether a reply is a stream: also one that is an array, which only what was asked can tell from a body."""
        return content_type.startswith("text/event-stream") or (request.stream and content_type.startswith("application/json"))

    def reader(self, *, stream: bool) -> Reader:
        """Reads a reply event by event."""
        if stream:
            return AnyReader(
                lambda: GeminiStreamReader(self.grammar, self.chunks()),
                lambda: ArrayReader(self.grammar, reply=self.chunks()),
                lambda: GeminiWholeReader(self.grammar, self.chunks()),
            )
        return GeminiWholeReader(self.grammar, self.chunks())

    def relay(self, *, stream: bool) -> Relay:
        """Reads a reply only as far as its end must be known."""
        if stream:
            return AnyRelay(
                lambda: StreamRelay(self.grammar, Ends(self.grammar)),
                lambda: ArrayRelay(self.grammar),
                lambda: WholeRelay(self.grammar, self.chunks()),
            )
        return WholeRelay(self.grammar, self.chunks())

    def writer(self, request: Request, losses: list[Loss] | None = None) -> Writer:
        """Writes the reply to this request; of a reply of this dialect nothing is lost."""
        found = ReplyLosses([] if losses is None else losses, self.name)
        if not request.stream:
            return GeminiWholeWriter(self.name, request, found, self.gather, self.reread)
        if request.headers.get(FRAMING) == "array":
            return self.array(request, found)
        return self.events(request, found)

    def read_error(self, status: int, headers: Mapping[str, str], body: bytes) -> UpstreamError:
        """Classify a provider's error."""
        return errors.read_error(self.name, status, headers, body)

    def write_error(self, error: GatewayError) -> bytes:
        """A body from which Google's SDK raises its own exception."""
        return errors.write_error(error, self.grammar)

    def error_status(self, error: GatewayError) -> int:
        """The HTTP status of an error, as Google has it."""
        return errors.error_status(error)

    def read_models(self, body: bytes) -> list[ModelInfo]:
        """Read a provider's list of models."""
        return lists.read_models(body)

    def write_models(self, models: Sequence[ModelInfo]) -> bytes:
        """Write a list of models."""
        return lists.write_models(models)

    def write_model(self, model: ModelInfo) -> bytes:
        """Write one model."""
        return lists.write_model(model)

    def crossing(self, request: Request, profile: Profile, losses: list[Loss]) -> Crossing | None:
        """How a request of another vendor's dialect gets into this one; Google's own two differ in their envelope alone."""
        return super().crossing(evolve(request, dialect=self.name) if request.dialect in OWN else request, profile, losses)

    def claims(self, head: Head) -> bool:
        """Whether it comes from one of Google's SDKs, or has its key where only Google looks for one."""
        return bool(_CLAIMED & head.headers.keys()) or bool({"key", "pageSize", "pageToken"} & head.query.keys())

    def spelled(self, setting: str) -> str:
        """How a client spells a setting, as ``generationConfig.topP``."""
        return settings.spelled(setting)

    def read_count(self, body: bytes) -> int:
        """Read how many tokens a prompt has."""
        return lists.read_count(body)

    def write_count(self, tokens: int) -> bytes:
        """Write how many."""
        return lists.write_count(tokens)

    def conversation(self, request: Request) -> str | None:
        """By its first contents."""
        tree = request.raw.tree if request.raw is not None else {}
        return by_opening(tree.get("contents"))

    def example(self, model: str) -> str:
        """The smallest request; the model stands in its path."""
        return jsons.dumps({"contents": [{"parts": [{"text": "Say hello."}]}]}).decode()

    def passes(self, name: str) -> bool:
        """Whether a response header means something to a client."""
        return name in _PASSED


DIALECT: Final = GoogleGemini()
