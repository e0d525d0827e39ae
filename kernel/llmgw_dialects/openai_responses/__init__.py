"""Responses, OpenAI's newer wire format: items in and items out, thoughts among them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import ClassVar, Final

from llmgw import jsons
from llmgw.errors import GatewayError, UpstreamError
from llmgw.model import Loss, ModelInfo, RateLimit, Request
from llmgw.stages import Head, Reader, Relay, Writer
from llmgw_dialects import failures, rates
from llmgw_dialects import openai_models as lists
from llmgw_dialects.codec import Codec
from llmgw_dialects.conversation import by_id, by_opening
from llmgw_dialects.openai_responses import errors, requests, settings
from llmgw_dialects.openai_responses.bodies import Gathered
from llmgw_dialects.openai_responses.grammar import GRAMMAR, Ends, ResponsesReader, ResponsesRelay
from llmgw_dialects.openai_responses.losses import ReplyLosses
from llmgw_dialects.openai_responses.names import NAME
from llmgw_dialects.openai_responses.replies import ResponseReader
from llmgw_dialects.openai_responses.writing import ResponsesStreamWriter
from llmgw_dialects.reading import WholeReader
from llmgw_dialects.relaying import WholeRelay
from llmgw_dialects.writing import WholeWriter

__all__ = ["DIALECT", "OpenAIResponses"]

_PASSED: Final = frozenset(
    {"retry-after", "retry-after-ms", "x-request-id", "x-should-retry", "openai-organization", "openai-processing-ms",
     "openai-version", "openai-model", "openai-project", "x-models-etag", "x-reasoning-included"}
)  # fmt: skip


class OpenAIResponses(Codec):
    """The codec of Responses; it has no state, so one serves all."""

    name: ClassVar[str] = NAME
    request_headers: ClassVar[frozenset[str]] = frozenset(
        {"openai-beta", "x-client-request-id", "idempotency-key", "session_id", "session-id", "conversation_id", "thread-id",
         "x-openai-internal-codex-responses-lite"}
    )  # fmt: skip

    def read_request(self, head: Head, body: bytes) -> Request:
        """Read what routing needs; the prompt is read when somebody asks for it."""
        names = sorted({name.lower() for name in head.headers})
        headers = {name: head.headers[name] for name in names if self._is_meant(name) and name in head.headers}
        operation: requests.Operation = "generate"
        if head.operation in ("count_tokens", "compact"):
            operation = "count_tokens" if head.operation == "count_tokens" else "compact"
        return requests.read_request(body, headers, operation)

    def _is_meant(self, name: str) -> bool:
        """Whether a client's header means something to a provider; Codex has many of its own."""
        return name in self.request_headers or name.startswith("x-codex-")

    def write_request(self, request: Request, losses: list[Loss] | None = None) -> bytes:
        """Write a request; what nobody changed is copied if it came in this dialect."""
        body, found = requests.encode_request(request)
        if losses is not None:
            losses += found
        return body

    def reader(self, *, stream: bool) -> Reader:
        """Reads a reply event by event."""
        return ResponsesReader(GRAMMAR, ResponseReader()) if stream else WholeReader(GRAMMAR, ResponseReader(whole=True))

    def relay(self, *, stream: bool) -> Relay:
        """Reads a reply only as far as its end must be known."""
        return ResponsesRelay(GRAMMAR, Ends()) if stream else WholeRelay(GRAMMAR, ResponseReader(whole=True))

    def writer(self, request: Request, losses: list[Loss] | None = None) -> Writer:
        """Writes the reply to this request; of a reply of this dialect nothing is lost."""
        found = ReplyLosses([] if losses is None else losses, request)
        if request.stream:
            return ResponsesStreamWriter(request, found)
        return WholeWriter(NAME, request, found, lambda: Gathered(request), lambda: ResponseReader(whole=True))

    def read_error(self, status: int, headers: Mapping[str, str], body: bytes) -> UpstreamError:
        """Classify a provider's error."""
        return failures.read_error(NAME, status, headers, body)

    def write_error(self, error: GatewayError) -> bytes:
        """A body from which the OpenAI SDK raises its own exception."""
        return errors.write_error(error)

    def error_status(self, error: GatewayError) -> int:
        """The HTTP status of an error, as OpenAI would choose it."""
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

    def read_count(self, body: bytes) -> int:
        """Read a provider's answer to how many tokens a prompt has."""
        match failures.loaded(body):
            case {"input_tokens": int(tokens)}:
                return tokens
            case _:
                raise failures.broken(body, "a number of input tokens was expected")

    def write_count(self, tokens: int) -> bytes:
        """Write such an answer."""
        return jsons.dumps({"object": "response.input_tokens", "input_tokens": tokens})

    def read_limits(self, headers: Mapping[str, str], now: float) -> Sequence[RateLimit]:
        """What a provider says about its rate limits."""
        return rates.read_openai(headers, now)

    def write_limits(self, limits: Sequence[RateLimit], now: float) -> Mapping[str, str]:
        """Headers that tell a client."""
        return rates.write_openai(limits, now)

    def spelled(self, setting: str) -> str:
        """How a client of this dialect spells a setting."""
        return settings.spelled(setting)

    def conversation(self, request: Request) -> str | None:
        """By ``prompt_cache_key`` or ``conversation``, else by its first items; one that its provider keeps begins elsewhere."""
        tree = request.raw.tree if request.raw is not None else {}
        kept = tree.get("conversation")
        named = by_id("cache", tree.get("prompt_cache_key")) or by_id("kept", kept.get("id") if isinstance(kept, dict) else kept)
        if named is not None or tree.get("previous_response_id"):
            return named
        return by_opening(tree.get("input"), tree.get("instructions"))

    def example(self, model: str) -> str:
        """The smallest request for a model."""
        return jsons.dumps({"model": model, "input": "Say hello."}).decode()

    def passes(self, name: str) -> bool:
        """Whether a response header means something to an OpenAI SDK, or to Codex."""
        return _passes(name)


@lru_cache(maxsize=256)
def _passes(name: str) -> bool:
    return name in _PASSED or name.startswith(("x-ratelimit-", "x-codex-"))


DIALECT: Final = OpenAIResponses()
