"""OpenAI Responses for clients: ``/v1/responses`` whole and streamed, the count of its tokens, and compaction."""

from __future__ import annotations

from collections.abc import Iterable

from aiohttp import web
from aiohttp.web_routedef import AbstractRouteDef
from attrs import define

from llmgw import Endpoint, Gateway, GatewayError, NotFound, Unsupported, hookimpl
from llmgw_dialects.openai_responses import DIALECT


@define(eq=False)
class OpenAIResponses:
    """OpenAI Responses for clients: ``/v1/responses``, ``/v1/responses/input_tokens``, ``/v1/responses/compact``.

    Args:
        prefix: before every path; clients put it into their base URL.
    """

    prefix: str = ""

    @hookimpl
    def frontend_endpoints(self, gateway: Gateway) -> Iterable[Endpoint] | None:
        """Each path also without ``/v1``, for clients whose base URL lacks it."""
        endpoints = []
        for path in (f"{self.prefix}/v1/responses", f"{self.prefix}/responses"):
            endpoints += [
                Endpoint("POST", path, DIALECT),
                Endpoint("POST", f"{path}/input_tokens", DIALECT, "count_tokens"),
                Endpoint("POST", f"{path}/compact", DIALECT, "compact"),
            ]
        return [
            *endpoints,
            Endpoint("GET", f"{self.prefix}/v1/models", DIALECT, "models"),
            Endpoint("GET", f"{self.prefix}/v1/models/{{id:.+}}", DIALECT, "model"),
        ]

    @hookimpl
    def extra_routes(self, gateway: Gateway) -> Iterable[AbstractRouteDef] | None:
        """What is not done here says so, so that clients fall back: WebSockets, and responses kept by the provider."""
        path = f"{self.prefix}/v1/responses"
        return [
            web.get(path, _no_websocket),
            *(web.route(method, f"{path}/{{id}}", _not_kept) for method in ("GET", "DELETE")),
        ]


async def _no_websocket(request: web.Request) -> web.StreamResponse:
    """RFC 9110, 15.5.22: the client is to ask in the protocol named."""
    response = _refused(Unsupported("Responses are served over HTTP: POST your request, with stream: true for events."), 426)
    response.headers["upgrade"] = "HTTP/1.1"
    return response


async def _not_kept(request: web.Request) -> web.StreamResponse:
    return _refused(NotFound("This gateway keeps no responses to be fetched. Keep the answer when it comes."), 404)


def _refused(error: GatewayError, status: int) -> web.Response:
    return web.Response(status=status, body=DIALECT.write_error(error), content_type="application/json")
