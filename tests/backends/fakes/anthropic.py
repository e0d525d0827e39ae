"""Anthropic's API in both its versions, by key and by login, and the token server; as strict as the real ones."""

from __future__ import annotations

from typing import Any

from aiohttp import web
from attrs import define, field

from tests.backends.fakes.server import Came, FakeVendor, Refused, event, streamed

ANSWER = "Forty-two."
LIFE = 28800
KEYS = ("sk-ant-api03-one", "sk-ant-api03-two")
NEWER = "2026-10-21"
BETA = "oauth-2025-04-20"
_TOP = {
    "model", "messages", "max_tokens", "system", "tools", "tool_choice", "stream", "temperature", "top_p", "top_k", "thinking",
    "stop_sequences", "metadata", "service_tier", "output_config", "cache_control", "container", "mcp_servers",
}  # fmt: skip


def error(kind: str, message: str, **details: Any) -> dict[str, Any]:
    """An error as Anthropic writes it."""
    told = {"details": details} if details else {}
    return {"type": "error", "error": {"type": kind, "message": message, **told}, "request_id": "req_1"}


def refused(status: int, kind: str, message: str) -> Refused:
    """One, to be raised."""
    return Refused(status, error(kind, message))


@define(eq=False)
class FakeAnthropic(FakeVendor):
    """The servers.

    Args:
        good: the access tokens that are taken.
        refresh: the refresh token that is.
        client: whom it was issued to.
        rotates: whether a refresh token is good for one use.
        console: whether the login is the Console's, whose grants need the beta as well.
        pages: of the list of models.
        stop: the reason for which a whole answer ends.
        breaks: whether a stream ends with an error after its first words.
        versions: that there are.
        grants: granted so far.
    """

    good: set[str] = field(factory=set)
    refresh: str = "sk-ant-ort01-0"
    client: str = "9d1c250a-e61b-44d9-88ed-5944d1962f5e"
    rotates: bool = True
    console: bool = False
    pages: list[list[str]] = field(factory=lambda: [["claude-opus-4-6"]])
    stop: str = "end_turn"
    breaks: bool = False
    versions: set[str] = field(factory=lambda: {"2023-06-01", NEWER})
    grants: int = 0

    def token(self) -> str:
        """A token that is taken from now on, and no other."""
        self.grants += 1
        self.good = {f"sk-ant-oat01-{self.grants}"}
        return next(iter(self.good))

    async def answer(self, came: Came, request: web.Request) -> web.StreamResponse:
        if came.path == "/v1/oauth/token":
            return self._granted(came)
        version = self._let_in(came)
        if came.path == "/v1/models":
            return web.json_response(self._listed(came))
        if came.method != "POST" or came.path not in ("/v1/messages", "/v1/messages/count_tokens"):
            raise refused(404, "not_found_error", "Not found")
        body = came.json
        _checked(body, version, counts=came.path.endswith("count_tokens"))
        if came.path.endswith("count_tokens"):
            return web.json_response({"input_tokens": 42})
        if body.get("stream"):
            events = _events(body["model"])
            broken = [*events[:4], event(error("overloaded_error", "Overloaded"), "error")]
            return await streamed(request, *(broken if self.breaks else events))
        if self.stop == "refusal":
            details = {"type": "refusal", "category": "cyber", "explanation": "No weapons."}
            return web.json_response(_message(body["model"], [], "refusal") | {"stop_details": details})
        return web.json_response(_message(body["model"], [{"type": "text", "text": ANSWER}], self.stop))

    def _granted(self, came: Came) -> web.Response:
        body = came.json
        if set(body) != {"grant_type", "refresh_token", "client_id"} or body["grant_type"] != "refresh_token":
            raise Refused(400, {"error": "invalid_request"})
        if self.console and came.headers.get("anthropic-beta") != BETA:
            raise Refused(400, {"error": "invalid_request"})
        if body["client_id"] != self.client:
            raise Refused(401, {"error": "invalid_client"})
        if body["refresh_token"] != self.refresh:
            raise Refused(400, {"error": "invalid_grant", "error_description": "Refresh token not found or invalid"})
        told = {"access_token": self.token(), "expires_in": LIFE, "scope": "user:inference user:profile"}
        if self.rotates:
            self.refresh = f"sk-ant-ort01-{self.grants}"
            told["refresh_token"] = self.refresh
        return web.json_response(told | {"account": {"uuid": "u"}, "organization": {"uuid": "o"}})

    def _let_in(self, came: Came) -> str:
        headers = came.headers
        version = headers.get("anthropic-version")
        if version not in self.versions:
            raise refused(400, "invalid_request_error", "anthropic-version: header is required")
        bearer = headers.get("authorization", "").removeprefix("Bearer ")
        key = headers.get("x-api-key") or (bearer if bearer.startswith("sk-ant-api03") else "")
        if key:
            if key not in KEYS:
                raise refused(401, "authentication_error", "invalid x-api-key")
        elif bearer not in self.good:
            raise refused(401, "authentication_error", "OAuth token has expired. Please obtain a new token.")
        elif BETA not in headers.get("anthropic-beta", "").split(","):
            raise refused(401, "authentication_error", "OAuth authentication is currently not supported.")
        return version

    def _listed(self, came: Came) -> dict[str, Any]:
        after = came.query.get("after_id")
        at = next((n + 1 for n, page in enumerate(self.pages) if page[-1] == after), 0)
        page = self.pages[at]
        models = [
            {"type": "model", "id": name, "display_name": name, "created_at": "2026-01-01T00:00:00Z", "lifecycle": "active"}
            for name in page
        ]
        return {"data": models, "has_more": at + 1 < len(self.pages), "first_id": page[0], "last_id": page[-1]}


def _checked(body: Any, version: str, *, counts: bool) -> None:
    for name in ("model", "messages", *(() if counts else ("max_tokens",))):
        if not body.get(name):
            raise refused(400, "invalid_request_error", f"{name}: Field required")
    for name in body.keys() - _TOP:
        raise refused(400, "invalid_request_error", f"{name}: Extra inputs are not permitted")
    if counts and (extra := body.keys() & {"max_tokens", "stream", "temperature"}):
        raise refused(400, "invalid_request_error", f"{min(extra)}: Extra inputs are not permitted")
    for n, message in enumerate(body["messages"]):
        if message.get("role") not in ("user", "assistant"):
            raise refused(400, "invalid_request_error", f'messages.{n}.role: Input should be "user" or "assistant"')
        _check_blocks(message, n, version)
    if version >= NEWER and (sampling := body.keys() & {"temperature", "top_p", "top_k"}):
        raise refused(400, "invalid_request_error", f"{min(sampling)}: is not supported in this version")


def _check_blocks(message: Any, n: int, version: str) -> None:
    content = message.get("content")
    if content in (None, "", []):
        raise refused(400, "invalid_request_error", f"messages.{n}: all messages must have non-empty content")
    for m, block in enumerate(content if isinstance(content, list) else ()):
        if block["type"] == "text" and not block["text"].strip():
            raise refused(400, "invalid_request_error", f"messages.{n}.content.{m}: text content blocks must be non-empty")
        if version >= NEWER and block["type"] == "document" and message["role"] == "assistant":
            raise refused(400, "invalid_request_error", f"messages.{n}.content.{m}: documents are not allowed here")
        if version >= NEWER and block["type"] == "text" and block.get("citations") and message["role"] == "user":
            raise refused(400, "invalid_request_error", f"messages.{n}.content.{m}.citations: are not allowed here")


def _message(model: str, content: list[Any], stop: str | None) -> dict[str, Any]:
    usage = {"input_tokens": 12, "output_tokens": 3}
    return {"id": "msg_1", "type": "message", "role": "assistant", "model": model, "content": content, "stop_reason": stop,
            "stop_sequence": None, "usage": usage}  # fmt: skip


def _events(model: str) -> list[bytes]:
    half = len(ANSWER) // 2
    trees: list[dict[str, Any]] = [
        {"type": "message_start", "message": _message(model, [], None)},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "ping"},
        *({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}
          for text in (ANSWER[:half], ANSWER[half:])),
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": {"output_tokens": 3}},
        {"type": "message_stop"},
    ]  # fmt: skip
    return [event(tree, tree["type"]) for tree in trees]
