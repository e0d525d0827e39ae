"""Anthropic Messages as Bedrock wants it: the model is in the URL, version and betas are in the body (AWS, "Anthropic Claude
Messages API"), and a stream comes in AWS's own frames."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any, Final

from attrs import frozen

from llmgw import jsons
from llmgw.errors import Unsupported, UpstreamError
from llmgw.model import Loss, Profile, Request
from llmgw.splice import merged, splice
from llmgw.stages import Reader, Relay
from llmgw_bedrock import errors
from llmgw_bedrock.unframing import RelayUnframer, Unframe, Unframer, chunk
from llmgw_dialects.anthropic_messages import AnthropicMessages
from llmgw_dialects.failures import broken, loaded
from llmgw_dialects.profiles import with_overrides

VERSION: Final = "bedrock-2023-05-31"
EVENTSTREAM: Final = "application/vnd.amazon.eventstream"
_OUTSIDE: Final = frozenset({"model", "stream"})
"""Fields of which the URL tells."""
_UNKNOWN: Final = {"service_tier": "tier"}
"""Fields that Bedrock does not take, and that change no answer; by what a loss of them is called."""
_NECESSARY: Final = {
    "mcp_servers": "MCP servers are not asked by Bedrock",
    "container": "Bedrock runs no code and has no skills",
    "inference_geo": "Bedrock computes where its region, or the inference profile, says",
}
"""Fields that it does not take either, without which another question would be asked."""
_BETA: Final = "anthropic-beta"
_UNSENT: Final = ("anthropic-user-profile-id", "anthropic-workspace-id", "idempotency-key")
_CANNOT: Final[Mapping[str, Any]] = {"url_inputs": [], "server_tools": []}
"""Bedrock fetches nothing and runs no tools (Anthropic, "Features overview")."""


@frozen
class BedrockMessages(AnthropicMessages):
    """The codec of Anthropic Messages, but for the envelope.

    Args:
        version: as ``bedrock-2023-05-31``.
        betas: beside those that the client asks for.
    """

    version: str = VERSION
    betas: tuple[str, ...] = ()

    def forwarded(self, headers: Mapping[str, str]) -> Mapping[str, str]:
        """None: what they say is in the body."""
        return {}

    def write_request(self, request: Request, losses: list[Loss] | None = None) -> bytes:
        """The body, with what stands elsewhere at Anthropic, and without what stands in the URL.

        Raises:
            Unsupported: something of it Bedrock does not do.
        """
        body = super().write_request(request, losses)
        tree = jsons.loads(body)
        for name, why in _NECESSARY.items():
            if tree.get(name):
                raise Unsupported(f"{why}: leave out `{name}`, or choose another back-end.", param=name)
        if losses is not None:
            losses += [Loss(name, name, "dropped", request.dialect, self.name) for name in _left_out(request, tree)]
        changes = {"anthropic_version": self.version, **self._asked(request, tree)}
        if request.operation == "count_tokens":
            return _to_count(splice(body, merged(tree, {**changes, "max_tokens": _least(tree)}, _OUTSIDE)))
        return splice(body, merged(tree, changes, _OUTSIDE | _UNKNOWN.keys()))

    def _asked(self, request: Request, tree: Mapping[str, Any]) -> dict[str, Any]:
        given = request.headers.get(_BETA, "") if request.dialect == self.name else ""
        inside = tree.get("anthropic_beta")
        betas = [one.strip() for one in given.split(",") if one.strip()]
        every = list(dict.fromkeys([*(inside if isinstance(inside, list) else ()), *betas, *self.betas]))
        return {"anthropic_beta": every} if every else {}

    def is_stream(self, content_type: str, request: Request) -> bool:
        """Whether AWS's frames come."""
        return content_type.startswith(EVENTSTREAM)

    @property
    def unframe(self) -> Unframe:
        """What a frame of a stream holds."""
        return chunk

    def reader(self, *, stream: bool) -> Reader:
        """Reads a reply event by event."""
        inner = super().reader(stream=stream)
        return Unframer(inner, self.unframe) if stream else inner

    def relay(self, *, stream: bool) -> Relay:
        """Reads a reply only as far as its end must be known, and gives on what Anthropic would have sent."""
        inner = super().relay(stream=stream)
        return RelayUnframer(inner, self.unframe, relay=inner) if stream else inner

    def read_error(self, status: int, headers: Mapping[str, str], body: bytes) -> UpstreamError:
        """Classify an error of AWS's."""
        return errors.read_error(status, headers, body)

    def read_count(self, body: bytes) -> int:
        """Read AWS's answer to how many tokens a prompt has."""
        match loaded(body):
            case {"inputTokens": int(count)} if not isinstance(count, bool):
                return count
            case _:
                raise broken(body, "a number of input tokens was expected")

    def profile(self, model: str) -> Profile:
        """What is known of a model, less what Bedrock does not do."""
        return with_overrides(super().profile(model), _CANNOT)


def _left_out(request: Request, tree: Mapping[str, Any]) -> list[str]:
    fields = [feature for name, feature in _UNKNOWN.items() if name in tree]
    return [*fields, *(name for name in _UNSENT if name in request.headers)]


def _least(tree: Mapping[str, Any]) -> int:
    """An answer's length, which must be there even where nothing is answered, and leave room for thoughts."""
    thinking = tree.get("thinking")
    budget = thinking.get("budget_tokens") if isinstance(thinking, dict) else None
    return budget + 1 if isinstance(budget, int) else 1


def _to_count(body: bytes) -> bytes:
    return jsons.dumps({"input": {"invokeModel": {"body": base64.b64encode(body).decode()}}})
