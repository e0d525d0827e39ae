"""Anthropic Messages, the wire format of Claude; of its two versions both are understood."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, ClassVar, Final

from llmgw import jsons
from llmgw.errors import GatewayError, UpstreamError
from llmgw.model import Loss, ModelInfo, RateLimit, Request
from llmgw.stages import Head, Reader, Relay, Writer
from llmgw_dialects import rates
from llmgw_dialects.anthropic_messages import errors, requests
from llmgw_dialects.anthropic_messages import models as lists
from llmgw_dialects.anthropic_messages.bodies import Gathered
from llmgw_dialects.anthropic_messages.grammar import GRAMMAR, Ends
from llmgw_dialects.anthropic_messages.losses import ReplyLosses
from llmgw_dialects.anthropic_messages.names import NAME
from llmgw_dialects.anthropic_messages.replies import MessageReader, MessageWholeReader
from llmgw_dialects.anthropic_messages.settings import SPELLED
from llmgw_dialects.anthropic_messages.writing import MessageStreamWriter
from llmgw_dialects.codec import Codec
from llmgw_dialects.conversation import by_opening
from llmgw_dialects.reading import StreamReader
from llmgw_dialects.relaying import StreamRelay, WholeRelay
from llmgw_dialects.writing import WholeWriter

__all__ = ["DIALECT", "AnthropicMessages"]

_PASSED: Final = frozenset({"request-id", "retry-after", "retry-after-ms", "x-should-retry"})


class AnthropicMessages(Codec):
    """The codec of Anthropic Messages; it has no state, so one serves all."""

    name: ClassVar[str] = NAME
    request_ids: ClassVar[tuple[str, ...]] = ("request-id", "x-request-id")
    request_headers: ClassVar[frozenset[str]] = frozenset(
        {"anthropic-version", "anthropic-beta", "anthropic-user-profile-id", "anthropic-workspace-id", "idempotency-key"}
    )

    def read_request(self, head: Head, body: bytes) -> Request:
        """Read what routing needs; the prompt is read when somebody asks for it."""
        headers = {name: _header(head.headers, name) for name in sorted(self.request_headers) if name in head.headers}
        return requests.read_request(head, body, headers)

    def write_request(self, request: Request, losses: list[Loss] | None = None) -> bytes:
        """Write a request; what nobody changed is copied if it came in this dialect."""
        body, found = requests.encode_request(request)
        if losses is not None:
            losses += found
        return body

    def reader(self, *, stream: bool) -> Reader:
        """Reads a reply event by event."""
        return StreamReader(GRAMMAR, MessageReader()) if stream else MessageWholeReader(GRAMMAR, MessageReader())

    def relay(self, *, stream: bool) -> Relay:
        """Reads a reply only as far as its end must be known."""
        return StreamRelay(GRAMMAR, Ends()) if stream else WholeRelay(GRAMMAR, MessageReader())

    def writer(self, request: Request, losses: list[Loss] | None = None) -> Writer:
        """Writes the reply to this request; of a reply of this dialect nothing is lost."""
        found = ReplyLosses([] if losses is None else losses)
        if request.stream:
            return MessageStreamWriter(request, found)
        return WholeWriter(NAME, request, found, Gathered, MessageReader)

    def read_error(self, status: int, headers: Mapping[str, str], body: bytes) -> UpstreamError:
        """Classify a provider's error."""
        return errors.read_error(status, headers, body)

    def write_error(self, error: GatewayError) -> bytes:
        """A body from which the Anthropic SDK raises its own exception."""
        return errors.write_error(error)

    def error_status(self, error: GatewayError) -> int:
        """The HTTP status that Anthropic has for such an error."""
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
        return lists.read_count(body)

    def write_count(self, tokens: int) -> bytes:
        """Write such an answer."""
        return lists.write_count(tokens)

    def read_limits(self, headers: Mapping[str, str], now: float) -> Sequence[RateLimit]:
        """What a provider says about its rate limits."""
        return rates.read_anthropic(headers, now)

    def write_limits(self, limits: Sequence[RateLimit], now: float) -> Mapping[str, str]:
        """Headers that tell a client."""
        return rates.write_anthropic(limits, now)

    def claims(self, head: Head) -> bool:
        """Whether the client names a version of this API."""
        return "anthropic-version" in head.headers

    def spelled(self, setting: str) -> str:
        """How a client of this dialect spells a setting."""
        return SPELLED.get(setting, setting)

    session_headers: ClassVar[tuple[str, ...]] = ("x-claude-code-session-id",)

    def conversation(self, request: Request) -> str | None:
        """By its first messages; ``metadata.user_id`` names a person, whose conversations are several."""
        tree = request.raw.tree if request.raw is not None else {}
        return by_opening(tree.get("messages"))

    def example(self, model: str) -> str:
        """The smallest request for a model."""
        asked: dict[str, Any] = {"model": model, "max_tokens": 256, "messages": [{"role": "user", "content": "Say hello."}]}
        return jsons.dumps(asked).decode()

    def passes(self, name: str) -> bool:
        """Whether a response header means something to an Anthropic SDK."""
        return _passes(name)


def _header(headers: Mapping[str, str], name: str) -> str:
    """A header's value; sent several times it is one list."""
    every = getattr(headers, "getall", None)
    return headers[name] if every is None else ",".join(every(name))


@lru_cache(maxsize=256)
def _passes(name: str) -> bool:
    return name in _PASSED or name.startswith("anthropic-")


DIALECT: Final = AnthropicMessages()
