"""A resource of Azure OpenAI and Foundry, and the token server of its tenant, as strict as they are."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import parse_qs

from aiohttp import web
from attrs import define, field

from tests.backends.fakes.server import Came, FakeVendor, Refused, event, streamed

KEY = "3f9c0a71d2e84b5695aab01c77d3e4f0"
TENANT, CLIENT, SECRET = "tenant-1", "client-1", "Zq8~secret-of-a-principal"
SCOPE = "https://cognitiveservices.azure.com/.default"
VERDICT = {"hate": {"filtered": False, "severity": "safe"}, "violence": {"filtered": False, "severity": "safe"}}
FILTERED = {
    "error": {
        "message": "The response was filtered due to the prompt triggering Azure OpenAI's content management policy.",
        "type": None, "param": "prompt", "code": "content_filter", "status": 400,
        "innererror": {
            "code": "ResponsibleAIPolicyViolation",
            "content_filter_result": {
                "hate": {"filtered": False, "severity": "safe"}, "violence": {"filtered": True, "severity": "medium"},
                "jailbreak": {"filtered": False, "detected": False},
            },
        },
    }
}  # fmt: skip


def jwt(**claims: Any) -> str:
    """A token that says these things of itself; nobody checks its signature."""
    parts = ({"alg": "RS256", "typ": "JWT"}, claims)
    head, body = (base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts)
    return f"{head}.{body}.c2lnbmF0dXJl"


@define(eq=False)
class FakeAzure(FakeVendor):
    """One resource.

    Args:
        now: Unix seconds, by which tokens end.
        deployments: their names.
        says: the answer.
    """

    now: Callable[[], float] = lambda: 1_700_000_000.0
    deployments: Iterable[str] = ("gpt-5-mini", "fast", "claude-sonnet-4-5", "opus")
    says: str = "Forty-two"
    lifetime: int = 3600
    tokens: dict[str, float] = field(factory=dict)
    """Which are good, and until when."""
    issued: int = 0

    def issue(self) -> str:
        """A new token."""
        ends = self.now() + self.lifetime
        self.issued += 1
        token = jwt(exp=ends, n=self.issued)
        self.tokens[token] = ends
        return token

    async def answer(self, came: Came, request: web.Request) -> web.StreamResponse:
        """By the path."""
        if came.path == f"/{TENANT}/oauth2/v2.0/token":
            return self._granted(came)
        self._known(came)
        parts = came.path.strip("/").split("/")
        match parts:
            case ["openai", "v1", *rest]:
                if "api-version" in came.query:
                    raise Refused(400, {"error": {"code": "BadRequest", "message": "API version not supported"}})
                return await self._openai(came, request, rest, None)
            case ["openai", "deployments", deployment, *rest] if came.query.get("api-version"):
                return await self._openai(came, request, rest, deployment)
            case ["openai", *rest] if came.query.get("api-version"):
                return await self._openai(came, request, rest, None)
            case ["anthropic", "v1", *rest]:
                return await self._claude(came, request, rest)
        raise Refused(404, {"error": {"code": "404", "message": "Resource not found"}})

    # ---- who asks

    def _granted(self, came: Came) -> web.Response:
        form = {name: values[0] for name, values in parse_qs(came.body.decode(), strict_parsing=True).items()}
        wanted = {"grant_type": "client_credentials", "client_id": CLIENT, "scope": SCOPE}
        secret = form.pop("client_secret", None)
        if form != wanted:
            raise Refused(400, {"error": "invalid_request", "error_description": f"AADSTS900144: {form}"})
        if secret != SECRET:
            raise Refused(401, {"error": "invalid_client", "error_description": "AADSTS7000215: Invalid client secret provided."})
        return web.json_response({"token_type": "Bearer", "expires_in": self.lifetime, "access_token": self.issue()})

    def _known(self, came: Came) -> None:
        claude = came.path.startswith("/anthropic/")
        shown = {name: came.headers[name] for name in ("api-key", "x-api-key", "authorization") if name in came.headers}
        token = shown.get("authorization", "").removeprefix("Bearer ")
        good = shown in ({"x-api-key" if claude else "api-key": KEY}, {"authorization": f"Bearer {token}"})
        if not good or (token and self.tokens.get(token, 0) <= self.now()):
            message = "Access denied due to invalid subscription key or wrong API endpoint."
            raise Refused(401, {"error": {"code": "401", "message": message}})

    # ---- OpenAI's API

    async def _openai(self, came: Came, request: web.Request, rest: list[str], deployment: str | None) -> web.StreamResponse:
        if rest == ["models"] and came.method == "GET":
            return web.json_response({"object": "list", "data": [_model("gpt-5-mini", chats=True), _model("embed", chats=False)]})
        tree = came.json
        if (deployment or tree.get("model")) not in self.deployments:
            message = "The API deployment for this resource does not exist. If you created it within the last 5 minutes, wait."
            raise Refused(404, {"error": {"code": "DeploymentNotFound", "message": message}})
        if rest == ["chat", "completions"]:
            return await self._chat(tree, request)
        if rest == ["responses"] and deployment is None:
            return await self._responses(tree, request)
        raise Refused(404, {"error": {"code": "404", "message": "Resource not found"}})

    async def _chat(self, tree: Any, request: web.Request) -> web.StreamResponse:
        if not tree.get("messages") or "input" in tree or "max_tokens" in tree:
            raise Refused(400, {"error": {"message": "Unrecognized request argument supplied", "code": None}})
        head = {"id": "c1", "created": 1, "model": "gpt-5-mini-2025-08-07", "object": "chat.completion.chunk"}
        usage = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}
        message = {"role": "assistant", "content": self.says}
        if not tree.get("stream"):
            choice = {"index": 0, "message": message, "finish_reason": "stop", "content_filter_results": VERDICT}
            verdicts = [{"prompt_index": 0, "content_filter_results": VERDICT}]
            whole = {**head, "object": "chat.completion", "choices": [choice], "usage": usage, "prompt_filter_results": verdicts}
            return web.json_response(whole)
        first = {"choices": [], "created": 0, "id": "", "model": "", "object": "", "prompt_filter_results": [
            {"prompt_index": 0, "content_filter_results": VERDICT}]}  # fmt: skip
        half = len(self.says) // 2
        deltas = [{"role": "assistant", "content": ""}, {"content": self.says[:half]}, {"content": self.says[half:]}]
        chunks = [{**head, "choices": [{"index": 0, "delta": delta, "content_filter_results": VERDICT}]} for delta in deltas]
        last = {**head, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop", "content_filter_results": {}}]}
        counted = {**head, "choices": [], "usage": usage}
        return await streamed(request, *map(event, [first, *chunks, last, counted]), b"data: [DONE]\n\n")

    async def _responses(self, tree: Any, request: web.Request) -> web.StreamResponse:
        if "messages" in tree or not tree.get("input"):
            raise Refused(400, {"error": {"message": "Missing required parameter: 'input'.", "param": "input"}})
        part = {"type": "output_text", "text": self.says, "annotations": []}
        item = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [part]}
        usage = {"input_tokens": 9, "output_tokens": 3, "total_tokens": 12}
        head = {"id": "resp_1", "object": "response", "created_at": 1, "model": "gpt-5-mini"}
        whole = {**head, "status": "completed", "output": [item], "usage": usage}
        if not tree.get("stream"):
            return web.json_response({**whole, "content_filters": [{"blocked": False, "source_type": "prompt"}]})
        at = {"output_index": 0, "content_index": 0, "item_id": "msg_1"}
        events: list[dict[str, Any]] = [
            {"type": "response.created", "response": {**head, "status": "in_progress", "output": []}},
            {"type": "response.output_item.added", "output_index": 0, "item": {**item, "status": "in_progress", "content": []}},
            {"type": "response.content_part.added", **at, "part": {**part, "text": ""}},
            {"type": "response.output_text.delta", **at, "delta": self.says},
            {"type": "response.output_text.done", **at, "text": self.says},
            {"type": "response.content_part.done", **at, "part": part},
            {"type": "response.output_item.done", "output_index": 0, "item": item},
            {"type": "response.completed", "response": whole},
        ]
        return await streamed(request, *(event({**one, "sequence_number": n}, one["type"]) for n, one in enumerate(events)))

    # ---- Anthropic's API

    async def _claude(self, came: Came, request: web.Request, rest: list[str]) -> web.StreamResponse:
        tree = came.json
        if came.headers.get("anthropic-version") != "2023-06-01":
            raise Refused(400, _claude_error("invalid_request_error", "anthropic-version: header is required"))
        if tree.get("model") not in self.deployments:
            raise Refused(404, _claude_error("not_found_error", f"model: {tree.get('model')}"))
        if rest == ["messages", "count_tokens"]:
            return web.json_response({"input_tokens": 17})
        if rest != ["messages"] or "max_tokens" not in tree:
            raise Refused(400, _claude_error("invalid_request_error", "max_tokens: Field required"))
        head = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5", "content": []}
        usage = {"input_tokens": 9, "output_tokens": 3}
        if not tree.get("stream"):
            text = {"type": "text", "text": self.says}
            return web.json_response(
                {**head, "content": [text], "stop_reason": "end_turn", "stop_sequence": None, "usage": usage}
            )
        start = {**head, "stop_reason": None, "stop_sequence": None, "usage": usage}
        events: list[dict[str, Any]] = [
            {"type": "message_start", "message": start},
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": self.says}},
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": usage},
            {"type": "message_stop"},
        ]
        return await streamed(request, *(event(one, one["type"]) for one in events))


def _model(ident: str, *, chats: bool) -> dict[str, Any]:
    can = {"fine_tune": False, "inference": True, "completion": False, "chat_completion": chats, "embeddings": not chats}
    return {"id": ident, "object": "model", "created": 1, "owned_by": "", "status": "succeeded", "capabilities": can}


def _claude_error(kind: str, message: str) -> dict[str, Any]:
    return {"type": "error", "error": {"type": kind, "message": message}}
