"""Models of other vendors: Converse, spoken by way of Anthropic's dialect, which says all that it can."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from attrs import define, field, frozen

from llmgw import jsons
from llmgw.errors import BadRequest
from llmgw.events import Event
from llmgw.model import Loss, Profile, Request
from llmgw.stages import Reader, Relay
from llmgw_bedrock import answering
from llmgw_bedrock.asking import Asking
from llmgw_bedrock.messages import BedrockMessages
from llmgw_bedrock.unframing import Unframe
from llmgw_dialects.anthropic_messages import AnthropicMessages
from llmgw_dialects.profiles import with_overrides

NAME: Final = "bedrock.converse"
_LEAST: Final[Mapping[str, Any]] = {
    "sampling": ["max_output", "temperature", "top_p", "stop"], "temperature": [0.0, 1.0], "one_sampler": False,
    "thinking": "none", "efforts": [], "can_disable": True, "forced_choice": "always", "samples_thinking": True,
    "url_inputs": [], "server_tools": [], "json_schema": False, "marks_max": 0, "parallel_switch": False,
    "max_output": None, "default_output": 4096, "tool_name_max": 64, "stop_max": 4, "counts": False,
}  # fmt: skip
"""What models of all vendors take; a deployment may know better (``profile``)."""


@frozen
class Converse(BedrockMessages):
    """The codec of Converse; to the rest of the gateway it is Anthropic's dialect."""

    def write_request(self, request: Request, losses: list[Loss] | None = None) -> bytes:
        """The request in Converse's terms.

        Raises:
            Unsupported: something of it Converse cannot say.
        """
        tree = jsons.loads(AnthropicMessages.write_request(self, request, losses))
        asking = Asking()
        try:
            out = asking.request(tree)
        except (KeyError, TypeError, AttributeError) as error:  # only a client of Anthropic's may have written such a body
            raise BadRequest(f"The request is none that Anthropic's API takes ({type(error).__name__}: {error}).") from None
        if losses is not None:
            losses += [Loss(feature, feature, "dropped", request.dialect, NAME) for feature in asking.dropped]
        return jsons.dumps(out)

    @property
    def unframe(self) -> Unframe:
        """What a frame of a stream says; each stream is read by itself."""
        return answering.Stream().unframe

    def reader(self, *, stream: bool) -> Reader:
        """Reads a reply event by event."""
        inner = super().reader(stream=stream)
        return inner if stream else WholeReader(inner)

    def relay(self, *, stream: bool) -> Relay:
        """Reads a reply, and gives on what Anthropic would have sent."""
        inner = super().relay(stream=stream)
        return inner if stream else WholeRelay(inner, relay=inner)

    def profile(self, model: str) -> Profile:
        """What models of all vendors take."""
        return with_overrides(AnthropicMessages.profile(self, model), _LEAST)


@define(eq=False)
class WholeReader:
    """Reads a whole reply.

    Args:
        inner: reads it as a message.
    """

    inner: Reader
    _pieces: list[bytes] = field(factory=list)

    @property
    def ended(self) -> bool:
        """Never: a body ends where HTTP says so."""
        return False

    @property
    def failing(self) -> bool:
        """Never: an error is a body too."""
        return False

    def feed(self, data: bytes) -> Iterable[Event]:
        """Take bytes as they arrive."""
        self._pieces.append(data)
        return ()

    def close(self) -> Iterable[Event]:
        """AWS has closed: all events."""
        return [*self.inner.feed(answering.whole(b"".join(self._pieces))), *self.inner.close()]


@define(eq=False)
class WholeRelay(WholeReader):
    """The same, for a body that passes unread.

    Args:
        relay: ``inner``, by its own type.
    """

    relay: Relay = field(kw_only=True)

    @property
    def passing(self) -> bool:
        """Never: a body passes as a whole, when it has come."""
        return False

    def through(self, data: bytes) -> bytes:
        """Nothing yet."""
        self._pieces.append(data)
        return b""
