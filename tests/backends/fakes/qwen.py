"""Qwen's token server and DashScope behind it, as strict as they were while the login was good, and as they are since."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import web
from attrs import define, field

from tests.backends.fakes.server import Came, FakeVendor, Refused, event, streamed

CLIENT = "f0304373b74a44d2b584a3fb70ca9e56"
LIFE = 21600
FIELDS = frozenset({
    "model", "messages", "stream", "stream_options", "temperature", "top_p", "max_tokens", "stop", "seed", "presence_penalty",
    "tools", "tool_choice", "parallel_tool_calls", "response_format", "n", "enable_thinking", "user", "metadata",
})  # fmt: skip
GONE = {"error": {"message": "invalid access token or token expired", "type": "invalid_request_error", "code": "invalid_api_key"}}
SPENT = {"error": {"message": "Free allocated quota exceeded.", "type": "insufficient_quota", "code": "insufficient_quota"}}


def wrong(message: str, code: str = "invalid_parameter_error") -> dict[str, Any]:
    """An error's body."""
    return {"error": {"message": message, "type": "invalid_request_error", "code": code, "param": None}}


@define(eq=False)
class FakeQwen(FakeVendor):
    """Both servers.

    Args:
        now: Unix seconds, by which tokens end.
        says: the answer.
        rotates: whether each refresh token is good once.
        resource: the host that an answer names; empty for none.
        ended: whether the login has been ended for everybody.
    """

    now: Callable[[], float] = lambda: 1_700_000_000.0
    says: str = "Forty-two"
    rotates: bool = True
    resource: str = ""
    ended: bool = False
    meanwhile: Callable[[Came], object] = lambda came: None
    """What else happens when a request has come."""
    good: dict[str, float] = field(factory=dict)
    """Access tokens, and until when."""
    refresh: set[str] = field(factory=set)
    issued: int = 0

    def issue(self, life: float = LIFE) -> tuple[str, str]:
        """A fresh pair of tokens."""
        self.issued += 1
        access, refresh = f"access-secret-{self.issued}", f"refresh-secret-{self.issued}"
        self.good[access] = self.now() + life
        self.refresh.add(refresh)
        return access, refresh

    async def answer(self, came: Came, request: web.Request) -> web.StreamResponse:
        """By the path."""
        self.meanwhile(came)
        match (came.method, came.path):
            case ("POST", "/api/v1/oauth2/token"):
                return self._granted(came)
            case ("POST", "/v1/chat/completions"):
                self._known(came)
                return await self._chat(came.json, request)
        raise Refused(404, wrong("Not Found", "not_found"))

    # ---- the token server

    def _granted(self, came: Came) -> web.Response:
        form = dict(parse_qsl(came.body.decode(), strict_parsing=True))
        token = form.pop("refresh_token", "")
        if "application/x-www-form-urlencoded" != came.headers["content-type"].partition(";")[0]:
            raise Refused(400, {"error": "invalid_request"})
        if form != {"grant_type": "refresh_token", "client_id": CLIENT}:
            raise Refused(400, {"error": "invalid_request", "error_description": f"{sorted(form)}"})
        if self.ended:
            raise Refused(401, {"error": "unauthorized", "error_description": "Refresh token expired or invalid"})
        if token not in self.refresh:
            raise Refused(400, {"error": "invalid_request", "error_description": "refresh_token invalid or expired"})
        access, fresh = self.issue()
        told: dict[str, Any] = {"status": "success", "access_token": access, "token_type": "Bearer", "expires_in": LIFE}
        if self.rotates:
            self.refresh.discard(token)
            told["refresh_token"] = fresh
        return web.json_response(told | ({"resource_url": self.resource} if self.resource else {}))

    # ---- DashScope

    def _known(self, came: Came) -> None:
        token = came.headers.get("authorization", "").removeprefix("Bearer ")
        if self.ended or self.good.get(token, 0) <= self.now():
            raise Refused(401, GONE)
        if came.headers.get("x-dashscope-authtype") != "qwen-oauth":
            raise Refused(401, wrong("Incorrect API key provided.", "invalid_api_key"))

    async def _chat(self, tree: Any, request: web.Request) -> web.StreamResponse:
        self._checked(tree)
        head = {"id": "chatcmpl-1", "created": 1, "model": tree["model"]}
        usage = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}
        if not tree.get("stream"):
            choice = {"index": 0, "message": {"role": "assistant", "content": self.says}, "finish_reason": "stop"}
            return web.json_response({**head, "object": "chat.completion", "choices": [choice], "usage": usage})
        half = len(self.says) // 2
        deltas = [{"role": "assistant", "content": ""}, {"content": self.says[:half]}, {"content": self.says[half:]}]
        more = {**head, "object": "chat.completion.chunk"}
        chunks = [{**more, "choices": [{"index": 0, "delta": one, "finish_reason": None}]} for one in deltas]
        chunks.append({**more, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
        if (tree.get("stream_options") or {}).get("include_usage"):
            chunks.append({**more, "choices": [], "usage": usage})
        return await streamed(request, *map(event, chunks), b"data: [DONE]\n\n")

    @staticmethod
    def _checked(tree: Any) -> None:
        for name in tree.keys() - FIELDS:
            raise Refused(400, wrong(f"Unexpected field: {name}"))
        if tree["model"] != "coder-model":
            raise Refused(404, wrong(f"The model `{tree['model']}` does not exist.", "model_not_found"))
        form = tree.get("response_format", {}).get("type", "text")
        if form not in ("text", "json_object"):
            raise Refused(400, wrong("'response_format' must be text or json_object"))
        if form == "json_object" and "json" not in str(tree["messages"]).lower():
            raise Refused(400, wrong("'messages' must contain the word 'json' in some form"))
        if any(one["role"] not in ("system", "user", "assistant", "tool") for one in tree["messages"]):
            raise Refused(400, wrong("developer is not one of ['system', 'assistant', 'user', 'tool']"))
