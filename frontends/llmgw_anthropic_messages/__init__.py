"""Anthropic Messages for clients: ``/v1/messages``, the count of its tokens, the list of models; also at a port of its own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from attrs import define

from llmgw import ConfigError, Endpoint, Gateway, hookimpl
from llmgw_dialects.anthropic_messages import DIALECT

VARIABLE = "ANTHROPIC_PORT"
NEXT = "next"


@define(eq=False)
class AnthropicMessages:
    """Anthropic Messages for clients: ``/v1/messages``, ``/v1/messages/count_tokens``, ``/v1/models``, and below ``/anthropic``.

    Args:
        prefix: before every path; clients put it into their base URL.
        port: one where only this dialect is spoken: a number, or ``next`` for the gateway's own and one; without it, what
            ANTHROPIC_PORT says.
    """

    prefix: str = ""
    port: int | str | None = None

    @hookimpl
    def frontend_endpoints(self, gateway: Gateway) -> Iterable[Endpoint] | None:
        """Everything twice, for clients with and without ``/anthropic`` in their base URL; and again at a port of its own."""
        port = self._own_port(gateway)
        endpoints = [*_served(self.prefix), *_served(f"{self.prefix}/anthropic"), *_about(f"{self.prefix}/anthropic")]
        if port is not None:
            endpoints += [*_served("", port), *_served("/anthropic", port), *_about("/anthropic", port)]
            endpoints.append(Endpoint("GET", "/info", DIALECT, "info", port))
        return endpoints

    def _own_port(self, gateway: Gateway) -> int | None:
        given = self.port if self.port is not None else gateway.env.get(VARIABLE) or None
        main = gateway.config.proxy.port
        if given == NEXT:
            return main + 1 if main else 0
        if given is None or isinstance(given, int):
            return given
        if given.isdecimal():
            return int(given)
        raise ConfigError(f"a port is a number or '{NEXT}', found {given!r} @ frontends.anthropic-messages.port or {VARIABLE}")


def _served(prefix: str, port: int | None = None) -> Iterator[Endpoint]:
    yield Endpoint("POST", f"{prefix}/v1/messages", DIALECT, port=port)
    yield Endpoint("POST", f"{prefix}/v1/messages/count_tokens", DIALECT, "count_tokens", port)
    yield Endpoint("GET", f"{prefix}/v1/models", DIALECT, "models", port)
    yield Endpoint("GET", f"{prefix}/v1/models/{{id:.+}}", DIALECT, "model", port)


def _about(prefix: str, port: int | None = None) -> Iterator[Endpoint]:
    for path in (prefix, f"{prefix}/v1"):
        yield Endpoint("GET", f"{path}/health", DIALECT, "health", port)
        yield Endpoint("GET", f"{path}/info", DIALECT, "info", port)
