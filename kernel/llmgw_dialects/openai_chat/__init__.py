"""Chat Completions, OpenAI's older wire format, as spoken by OpenAI and by everybody who is compatible with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import ClassVar, Final

from attrs import frozen

from llmgw import jsons
from llmgw.errors import GatewayError, UpstreamError
from llmgw.model import Loss, ModelInfo, RateLimit, Request
from llmgw.stages import Head, Reader, Relay, Writer
from llmgw_dialects import failures, rates
from llmgw_dialects import openai_models as lists
from llmgw_dialects.codec import Codec
from llmgw_dialects.conversation import by_id, by_opening
from llmgw_dialects.openai_chat import errors, requests
from llmgw_dialects.openai_chat.bodies import Gathered
from llmgw_dialects.openai_chat.chunks import ChunkReader
from llmgw_dialects.openai_chat.grammar import GRAMMAR, Ends
from llmgw_dialects.openai_chat.losses import ReplyLosses
from llmgw_dialects.openai_chat.names import NAME
from llmgw_dialects.openai_chat.writing import ChatStreamWriter
from llmgw_dialects.reading import StreamReader, WholeReader
from llmgw_dialects.relaying import StreamRelay, WholeRelay
from llmgw_dialects.writing import WholeWriter

__all__ = ["COMPATIBLE", "DIALECT", "OpenAIChat"]

_PASSED: Final = frozenset(
    {"retry-after", "retry-after-ms", "x-request-id", "x-should-retry", "openai-organization", "openai-processing-ms",
     "openai-version", "openai-model", "openai-project"}
)  # fmt: skip


_SPELLED: Final = {
    "max_output": "max_completion_tokens", "reasoning": "reasoning_effort", "reasoning.effort": "reasoning_effort",
    "reasoning.budget": "reasoning_effort", "output": "response_format", "tier": "service_tier", "end_user": "user",
    "safety_id": "safety_identifier", "audio_out": "audio", "parallel_tools": "parallel_tool_calls", "cache": "prompt_cache_key",
    "server_state.store": "store",
}  # fmt: skip


@frozen
class OpenAIChat(Codec):
    """The codec of Chat Completions; it has no state, so one serves all.

    Args:
        limit: the field that limits the answer in requests of other dialects; OpenAI's own models know only the newer one, the
            servers of others often only ``max_tokens``.
    """

    name: ClassVar[str] = NAME

    limit: str = "max_completion_tokens"

    request_headers: ClassVar[frozenset[str]] = frozenset({"openai-beta", "x-client-request-id", "idempotency-key"})

    def read_request(self, head: Head, body: bytes) -> Request:
        """Read what routing needs; the prompt is read when somebody asks for it."""
        headers = {name: head.headers[name] for name in sorted(self.request_headers) if name in head.headers}
        return requests.read_request(body, headers)

    def write_request(self, request: Request, losses: list[Loss] | None = None) -> bytes:
        """Write a request; what nobody changed is copied if it came in this dialect."""
        body, found = requests.encode_request(request, self.limit)
        if losses is not None:
            losses += found
        return body

    def reader(self, *, stream: bool) -> Reader:
        """Reads a reply event by event."""
        return StreamReader(GRAMMAR, ChunkReader()) if stream else WholeReader(GRAMMAR, ChunkReader(whole=True))

    def relay(self, *, stream: bool) -> Relay:
        """Reads a reply only as far as its end must be known."""
        return StreamRelay(GRAMMAR, Ends()) if stream else WholeRelay(GRAMMAR, ChunkReader(whole=True))

    def writer(self, request: Request, losses: list[Loss] | None = None) -> Writer:
        """Writes the reply to this request; of a reply of this dialect nothing is lost."""
        found = ReplyLosses([] if losses is None else losses)
        if request.stream:
            return ChatStreamWriter(request, found)
        return WholeWriter(NAME, request, found, Gathered, lambda: ChunkReader(whole=True))

    def read_error(self, status: int, headers: Mapping[str, str], body: bytes) -> UpstreamError:
        """Classify a provider's error."""
        return failures.read_error(NAME, status, headers, body)

    def write_error(self, error: GatewayError) -> bytes:
        """A body from which the OpenAI SDK raises its own exception."""
        return errors.write_error(error)

    def read_models(self, body: bytes) -> list[ModelInfo]:
        """Read a provider's list of models."""
        return lists.read_models(body)

    def write_models(self, models: Sequence[ModelInfo]) -> bytes:
        """Write a list of models."""
        return lists.write_models(models)

    def write_model(self, model: ModelInfo) -> bytes:
        """Write one model."""
        return lists.write_model(model)

    def read_limits(self, headers: Mapping[str, str], now: float) -> Sequence[RateLimit]:
        """What a provider says about its rate limits."""
        return rates.read_openai(headers, now)

    def write_limits(self, limits: Sequence[RateLimit], now: float) -> Mapping[str, str]:
        """Headers that tell a client."""
        return rates.write_openai(limits, now)

    def spelled(self, setting: str) -> str:
        """How a client spells a setting."""
        return _SPELLED.get(setting, setting)

    def conversation(self, request: Request) -> str | None:
        """By ``prompt_cache_key``, else by its first messages."""
        tree = request.raw.tree if request.raw is not None else {}
        return by_id("cache", tree.get("prompt_cache_key")) or by_opening(tree.get("messages"))

    def example(self, model: str) -> str:
        """The smallest request for a model."""
        return jsons.dumps({"model": model, "messages": [{"role": "user", "content": "Say hello."}]}).decode()

    def passes(self, name: str) -> bool:
        """Whether a response header means something to an OpenAI SDK."""
        return _passes(name)


@lru_cache(maxsize=256)
def _passes(name: str) -> bool:
    return name in _PASSED or name.startswith("x-ratelimit-")


DIALECT: Final = OpenAIChat()
COMPATIBLE: Final = OpenAIChat(limit="max_tokens")
"""As those speak it who copied it."""
