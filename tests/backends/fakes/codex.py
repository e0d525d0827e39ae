"""ChatGPT's server for Codex, and OpenAI's token server behind it; as strict as they were seen to be with Codex 0.169.0.

What the server refuses is as reported in openai/codex#26173 and by opencode and litellm, which speak to the real one.
"""

from __future__ import annotations

import base64
import json
import re
import uuid
from collections.abc import Callable
from typing import Any

from aiohttp import web
from attrs import define, field

from tests.backends.fakes.server import Came, FakeVendor, Refused, event, streamed

CLIENT = "app_EMoamEEZ73f0CkXaXp7hrann"
ACCOUNT = "acc-111"
LIFE = 864000
FIELDS = frozenset({
    "model", "input", "instructions", "tools", "tool_choice", "parallel_tool_calls", "reasoning", "text", "include",
    "prompt_cache_key", "service_tier", "store", "stream", "client_metadata",
})  # fmt: skip
COMPACT_FIELDS = FIELDS - {"store", "stream", "include", "tool_choice", "client_metadata"}
TOOLS = frozenset({"function", "custom", "web_search", "image_generation", "namespace", "tool_search", "local_shell"})
PREFIXES = {"message": "msg_", "reasoning": "rs_", "function_call": "fc_", "custom_tool_call": "ctc_"}
SEALED = "sealed-thought"
"""What thoughts are sealed as."""
PAGE = "<!DOCTYPE html><html><head><title>Just a moment...</title></head><body></body></html>"


def wrong(kind: str, message: str, **more: Any) -> dict[str, Any]:
    """An error's body, where it has one of OpenAI's."""
    return {"error": {"type": kind, "message": message, **more}}


def jwt(ends: float, account: str | None = ACCOUNT, number: int = 0) -> str:
    """A token as OpenAI issues it, but for the signature."""
    about = {"exp": int(ends), "jti": number, "https://api.openai.com/profile": {"email": "u@example.com"}}
    if account is not None:
        about["https://api.openai.com/auth"] = {"chatgpt_account_id": account, "chatgpt_plan_type": "plus"}
    parts = [{"alg": "RS256", "typ": "JWT"}, about]
    coded = [base64.urlsafe_b64encode(json.dumps(one).encode()).decode().rstrip("=") for one in parts]
    return ".".join([*coded, f"signature-secret-{number}"])


def model(slug: str, visibility: str = "list") -> dict[str, Any]:
    """An entry of the list of models."""
    efforts = [{"effort": one, "description": ""} for one in ("low", "medium", "high")]
    return {
        "slug": slug, "display_name": slug.upper(), "visibility": visibility, "supported_in_api": True,
        "supported_reasoning_levels": efforts, "context_window": 272000, "base_instructions": "You are Codex. SECRET",
    }  # fmt: skip


@define(eq=False)
class FakeCodex(FakeVendor):
    """Both servers.

    Args:
        now: Unix seconds, by which tokens end.
        says: the answer.
        rotates: whether each refresh token is good once.
        override: where the workspace must be routed.
    """

    now: Callable[[], float] = lambda: 1_700_000_000.0
    says: str = "Forty-two"
    rotates: bool = True
    override: str = "NO_CONSTRAINT"
    account: dict[str, Any] = field(factory=dict)
    """What is otherwise in its entry."""
    broken: dict[str, Any] | None = None
    """The error with which a stream ends that has begun."""
    kind: str = "text/event-stream"
    meanwhile: Callable[[Came], object] = lambda came: None
    """What else happens when a request has come."""
    good: set[str] = field(factory=set)
    refresh: set[str] = field(factory=set)
    spent: set[str] = field(factory=set)
    issued: int = 0
    models: list[dict[str, Any]] = field(factory=lambda: [model("gpt-5.5"), model("gpt-6-sol"), model("codex-auto", "hide")])

    def issue(self, life: float = LIFE) -> tuple[str, str]:
        """A fresh pair of tokens."""
        self.issued += 1
        access, refresh = jwt(self.now() + life, number=self.issued), f"rt_secret-{self.issued}"
        self.good.add(access)
        self.refresh.add(refresh)
        return access, refresh

    async def answer(self, came: Came, request: web.Request) -> web.StreamResponse:
        """By the path."""
        self.meanwhile(came)
        match (came.method, came.path):
            case ("POST", "/oauth/token"):
                return self._granted(came)
            case ("GET", "/backend-api/wham/accounts/check"):
                self._known(came)
                return web.json_response(self._accounts())
            case ("GET", "/backend-api/codex/models"):
                self._known(came)
                if not re.fullmatch(r"\d+\.\d+\.\d+", came.query.get("client_version", "")):
                    raise Refused(400, {"detail": "client_version is required"})
                return web.json_response({"models": self.models}, headers={"etag": 'W/"1"', "x-models-etag": "1"})
            case ("POST", "/backend-api/codex/responses"):
                self._known(came)
                self._addressed(came)
                self._checked(came.json, FIELDS)
                return await self._streamed(came.json, request)
            case ("POST", "/backend-api/codex/responses/compact"):
                self._known(came)
                self._checked(came.json, COMPACT_FIELDS)
                output = [{"type": "compaction", "encrypted_content": SEALED}]
                return web.json_response({"id": "resp_c", "object": "response.compaction", "created_at": 1, "output": output})
        raise Refused(404, {"detail": "Not Found"})

    # ---- the token server

    def _granted(self, came: Came) -> web.Response:
        if came.headers["content-type"] != "application/json":
            raise Refused(400, wrong("invalid_request_error", "JSON is expected", code="invalid_request"))
        asked = came.json
        token = asked.pop("refresh_token", "")
        if asked.pop("refresh_reason", "forced") not in ("proactive_expiry", "unauthorized_recovery", "forced"):
            raise Refused(400, wrong("invalid_request_error", "refresh_reason", code="invalid_request"))
        if asked != {"client_id": CLIENT, "grant_type": "refresh_token"}:
            raise Refused(400, wrong("invalid_request_error", f"{sorted(asked)}", code="invalid_request"))
        if token in self.spent:
            raise Refused(401, wrong("invalid_request_error", "Your refresh token was used.", code="refresh_token_reused"))
        if token not in self.refresh:
            raise Refused(401, wrong("invalid_request_error", "Unknown token.", code="refresh_token_invalidated"))
        access, fresh = self.issue()
        told = {"access_token": access, "id_token": jwt(0, number=self.issued), "expires_in": LIFE}
        if self.rotates:
            self.refresh.discard(token)
            self.spent.add(token)
            told["refresh_token"] = fresh
        return web.json_response(told)

    # ---- ChatGPT

    def _known(self, came: Came) -> None:
        token = came.headers.get("authorization", "").removeprefix("Bearer ")
        if token not in self.good or json.loads(_padded(token.split(".")[1]))["exp"] <= self.now():
            raise Refused(401, {"detail": "Could not parse your authentication token. Please try signing in again."})
        if came.headers.get("chatgpt-account-id") != ACCOUNT:
            raise Refused(401, {"detail": "Unauthorized account"})
        if not came.headers.get("originator") or not came.headers.get("user-agent"):
            raise Refused(403, PAGE, {"cf-ray": "8f1-FRA"})

    def _accounts(self) -> dict[str, Any]:
        entry = {
            "id": "x", "account_id": ACCOUNT, "name": "Personal", "structure": "personal", "plan_type": "plus",
            "workspace_backend_origin": "https://chatgpt.com", "account_routing_override": self.override,
            "profile_picture_url": None, "can_access_with_session": True, "sso_connection_name": None,
            "is_deactivated": False, "is_fedramp_compliant_workspace": False, **self.account,
        }  # fmt: skip
        other = {**entry, "account_id": "acc-222", "account_routing_override": "us_cr", "is_deactivated": True}
        return {"accounts": [other, entry], "account_ordering": [ACCOUNT], "default_account_id": ACCOUNT}

    def _addressed(self, came: Came) -> None:
        if came.headers.get("accept") != "text/event-stream":
            raise Refused(406, {"detail": "Not Acceptable"})
        wanted = None if self.override == "NO_CONSTRAINT" else self.override  # which Codex does not send
        if came.headers.get("x-openai-account-routing-override") != wanted:
            raise Refused(421, {"detail": "Misdirected workspace"})
        uuid.UUID(came.headers["session-id"])

    def _checked(self, tree: Any, fields: frozenset[str]) -> None:
        for name in sorted(tree.keys() - fields):
            raise Refused(400, {"detail": f"Unsupported parameter: {name}"})
        if tree["model"] not in [one["slug"] for one in self.models]:
            told = f"The '{tree['model']}' model is not supported when using Codex with a ChatGPT account."
            raise Refused(400, {"detail": told})
        if fields is FIELDS and tree.get("store") is not False:
            raise Refused(400, {"detail": "Store must be set to false"})
        if fields is FIELDS and tree.get("stream") is not True:
            raise Refused(400, {"detail": "Stream must be set to true"})
        if not isinstance(tree["input"], list):
            raise Refused(400, {"detail": "Input must be a list"})
        if not isinstance(tree.get("instructions"), str) and not any(one.get("role") == "developer" for one in tree["input"]):
            raise Refused(400, {"detail": "Instructions are required"})
        if tree.get("service_tier") not in (None, "default", "priority"):
            raise Refused(400, {"detail": "Unsupported service_tier"})
        for tool in tree.get("tools", ()):
            if str(tool["type"]) not in TOOLS:
                raise Refused(400, {"detail": f"Unsupported tool type: {tool['type']}"})
        for n, item in enumerate(tree["input"]):
            _check_item(item, n)

    async def _streamed(self, tree: Any, request: web.Request) -> web.StreamResponse:
        return await streamed(request, *(event(one, one["type"]) for one in self._frames(tree)), kind=self.kind)

    def _frames(self, tree: Any) -> list[dict[str, Any]]:
        response = {
            "id": f"resp_{len(self.came)}", "object": "response", "created_at": 1, "model": tree["model"],
            "status": "in_progress", "output": [], "usage": None, "store": False,
        }  # fmt: skip
        limits = {"type": "codex.rate_limits", "plan_type": "plus", "rate_limits": {"allowed": True, "limit_reached": False}}
        frames: list[dict[str, Any]] = [limits, {"type": "response.created", "response": response}]
        if "reasoning.encrypted_content" in tree.get("include", ()):
            thought = {"id": f"rs_{len(self.came)}", "type": "reasoning", "summary": [], "encrypted_content": f"{SEALED}-1"}
            frames += [{"type": f"response.output_item.{what}", "output_index": 0, "item": thought} for what in ("added", "done")]
        at = int(len(frames) > 2)
        if "Call it." in json.dumps(tree["input"][-1]) and tree.get("tools"):
            frames += _called(at, tree["tools"][0]["name"])
        else:
            frames += _worded(at, self.says)
        usage = {
            "input_tokens": 9, "output_tokens": 3, "total_tokens": 12, "input_tokens_details": {"cached_tokens": 0},
            "output_tokens_details": {"reasoning_tokens": 0},
        }  # fmt: skip
        last = {"type": "response.completed", "response": {**response, "status": "completed", "usage": usage}}
        if self.broken is not None:
            last = {"type": "response.failed", "response": {**response, "status": "failed", "error": self.broken}}
        return [{**one, "sequence_number": n} if n else one for n, one in enumerate([*frames, last])]


def _padded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def _check_item(item: Any, at: int) -> None:
    kind = item.get("type", "message")
    if item.get("role") == "system":
        raise Refused(400, {"detail": "System messages are not allowed"})
    if kind == "item_reference" or (kind == "reasoning" and not item.get("encrypted_content")):
        told = f"Item with id '{item.get('id')}' not found. Items are not persisted when `store` is set to false."
        raise Refused(404, wrong("invalid_request_error", told, param="input", code=None))
    if kind in PREFIXES and not str(item.get("id", PREFIXES[kind])).startswith(PREFIXES[kind]):
        told = f"Invalid 'input[{at}].id': '{item['id']}'. Expected an ID that begins with '{PREFIXES[kind]}'."
        raise Refused(400, wrong("invalid_request_error", told, param=f"input[{at}].id", code="invalid_value"))
    if kind == "reasoning" and not item["encrypted_content"].startswith(SEALED):
        told = "The encrypted content could not be verified."
        raise Refused(400, wrong("invalid_request_error", told, code="invalid_encrypted_content"))


def _worded(at: int, text: str) -> list[dict[str, Any]]:
    half = len(text) // 2
    item = {"id": "msg_1", "type": "message", "role": "assistant", "status": "in_progress", "content": []}
    part = {"type": "output_text", "text": "", "annotations": []}
    about = {"output_index": at, "item_id": "msg_1", "content_index": 0}
    whole = {**part, "text": text}
    return [
        {"type": "response.output_item.added", "output_index": at, "item": item},
        {"type": "response.content_part.added", **about, "part": part},
        {"type": "response.output_text.delta", **about, "delta": text[:half]},
        {"type": "response.output_text.delta", **about, "delta": text[half:]},
        {"type": "response.output_text.done", **about, "text": text},
        {"type": "response.content_part.done", **about, "part": whole},
        {
            "type": "response.output_item.done",
            "output_index": at,
            "item": {**item, "status": "completed", "content": [whole]},
        },
    ]


def _called(at: int, name: str) -> list[dict[str, Any]]:
    item = {"id": "fc_1", "type": "function_call", "status": "in_progress", "call_id": "call_1", "name": name, "arguments": ""}
    told = '{"city":"Bonn"}'
    about = {"output_index": at, "item_id": "fc_1"}
    return [
        {"type": "response.output_item.added", "output_index": at, "item": item},
        {"type": "response.function_call_arguments.delta", **about, "delta": told},
        {"type": "response.function_call_arguments.done", **about, "arguments": told},
        {
            "type": "response.output_item.done",
            "output_index": at,
            "item": {**item, "status": "completed", "arguments": told},
        },
    ]
