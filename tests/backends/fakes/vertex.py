"""Google Cloud: its token server, its metadata server, its IAM and STS, and Vertex AI; each as strict as the real one."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from aiohttp import web
from attrs import define, field
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from tests.backends.fakes.server import Came, FakeVendor, Refused, event, streamed

ANSWER = "Forty-two."
SCOPE = "https://www.googleapis.com/auth/cloud-platform"
LIFE = 3599

_TYPES = "type.googleapis.com/google.rpc."
_PLACE = re.compile(r"/v1(?:/projects/(?P<project>[^/]+)/locations/(?P<location>[^/]+))?/(?P<rest>.+)")
_GEMINI = re.compile(r"(?:publishers/google/models/[^/:]+|endpoints/\d+):(?P<method>\w+)")
_CLAUDE = re.compile(r"publishers/anthropic/models/(?P<model>[^/:]+):(?P<method>rawPredict|streamRawPredict)")
_MISTRAL = re.compile(r"publishers/mistralai/models/(?P<model>[^/:]+):(?P<method>rawPredict|streamRawPredict)")
_TOP = {"contents", "systemInstruction", "tools", "toolConfig", "safetySettings", "generationConfig", "cachedContent", "labels",
        "modelArmorConfig", "serviceTier"}  # fmt: skip
_COUNTED = {"contents", "systemInstruction", "tools", "generationConfig"}
_SAMPLERS = {"temperature", "top_p", "top_k"}


@cache
def private_key() -> rsa.RSAPrivateKey:
    """The key of the service account; made once, for it takes a while."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def private_pem() -> str:
    """The same, as a file has it."""
    plain = serialization.NoEncryption()
    return private_key().private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain).decode()


def google_error(status: int, word: str, message: str, reason: str | None = None, *more: dict[str, Any]) -> dict[str, Any]:
    """An error as Google's APIs write it."""
    info = [{"@type": _TYPES + "ErrorInfo", "reason": reason, "domain": "googleapis.com"}] if reason else []
    details = [*info, *more]
    return {"error": {"code": status, "message": message, "status": word, **({"details": details} if details else {})}}


def refused(status: int, word: str, message: str, reason: str | None = None) -> Refused:
    """The same, to be raised."""
    return Refused(status, google_error(status, word, message, reason))


@define(eq=False)
class FakeGoogle(FakeVendor):
    """Whatever gives tokens.

    Args:
        now: the time.
        same: whether the token that is not yet at its end is given again, as the metadata server does.
    """

    now: Callable[[], float] = lambda: 1_700_001_000.0
    same: bool = False
    issued: dict[str, float] = field(factory=dict)
    revoked: set[str] = field(factory=set)
    refresh_token: str = "1//good"

    def user_file(self, **more: Any) -> dict[str, Any]:
        """What ``gcloud auth application-default login`` writes."""
        return {"type": "authorized_user", "client_id": "id.apps", "client_secret": "shh", "refresh_token": "1//good", **more}

    def service_file(self, **more: Any) -> dict[str, Any]:
        """A service account's file."""
        return {
            "type": "service_account", "project_id": "of-the-file", "private_key_id": "k1", "private_key": private_pem(),
            "client_email": "bot@of-the-file.iam.gserviceaccount.com", "token_uri": f"{self.url}/token", **more,
        }  # fmt: skip

    async def answer(self, came: Came, request: web.Request) -> web.StreamResponse:
        """By the path."""
        match came.method, came.path:
            case "POST", "/token":
                return web.json_response(self._granted(came))
            case "POST", "/sts":
                return web.json_response(self._exchanged(came))
            case "POST", "/iam/bot:generateAccessToken":
                return web.json_response(self._impersonated(came))
            case "GET", path if path.startswith("/computeMetadata/v1/"):
                return self._metadata(came)
        raise Refused(404, "<html><title>Error 404 (Not Found)!!1</title></html>")

    def token(self) -> str:
        """A new access token, or the one that is still good where it is given again."""
        known = next(reversed(self.issued), None)
        if self.same and known and self.issued[known] > self.now():
            return known
        made = f"ya29.secret-{len(self.issued) + 1}"
        self.issued[made] = self.now() + LIFE
        return made

    def _granted(self, came: Came) -> dict[str, Any]:
        if came.headers.get("content-type") != "application/x-www-form-urlencoded":
            raise Refused(400, {"error": "invalid_request"})
        form = {name: values[0] for name, values in parse_qs(came.body.decode()).items()}
        match form.pop("grant_type", ""):
            case "refresh_token":
                if form.keys() != {"client_id", "client_secret", "refresh_token"}:
                    raise Refused(400, {"error": "invalid_request", "error_description": f"{sorted(form)}"})
                if form["client_secret"] != "shh":
                    raise Refused(401, {"error": "invalid_client", "error_description": "The OAuth client was not found."})
                if form["refresh_token"] != self.refresh_token:
                    raise Refused(400, {"error": "invalid_grant", "error_description": "Token has been expired or revoked."})
            case "urn:ietf:params:oauth:grant-type:jwt-bearer":
                self._asserted(form["assertion"])
            case other:
                raise Refused(400, {"error": "unsupported_grant_type", "error_description": other})
        return {"access_token": self.token(), "expires_in": LIFE, "scope": SCOPE, "token_type": "Bearer"}

    def _asserted(self, assertion: str) -> None:
        head, claims, signature = assertion.split(".")
        try:
            signed = f"{head}.{claims}".encode()
            private_key().public_key().verify(_decoded(signature), signed, padding.PKCS1v15(), hashes.SHA256())
        except InvalidSignature:
            raise Refused(400, {"error": "invalid_grant", "error_description": "Invalid JWT Signature."}) from None
        told = json.loads(_decoded(claims))
        now = int(self.now())
        right = {
            "iss": "bot@of-the-file.iam.gserviceaccount.com", "scope": SCOPE, "aud": f"{self.url}/token", "iat": now,
            "exp": now + 3600,
        }  # fmt: skip
        if told != right or json.loads(_decoded(head)) != {"typ": "JWT", "alg": "RS256", "kid": "k1"}:
            raise Refused(400, {"error": "invalid_grant", "error_description": "Invalid JWT."})

    def _exchanged(self, came: Came) -> dict[str, Any]:
        form = {name: values[0] for name, values in parse_qs(came.body.decode()).items()}
        if form.get("subject_token") != "from-the-cluster" or form.get("scope") != SCOPE:
            raise Refused(400, {"error": "invalid_grant", "error_description": "The subject token is bad."})
        kind = "urn:ietf:params:oauth:token-type:access_token"
        return {"access_token": self.token(), "issued_token_type": kind, "token_type": "Bearer", "expires_in": LIFE}

    def _impersonated(self, came: Came) -> dict[str, Any]:
        self.authorized(came)
        if came.json != {"delegates": [], "scope": [SCOPE], "lifetime": "3600s"}:
            raise refused(400, "INVALID_ARGUMENT", "Request contains an invalid argument.")
        return {"accessToken": self.token(), "expireTime": "2033-01-01T00:00:00Z"}

    def _metadata(self, came: Came) -> web.Response:
        if came.headers.get("metadata-flavor") != "Google":
            raise Refused(403, "<html><title>Error 403 (Forbidden)!!1</title></html>")
        flavor = {"Metadata-Flavor": "Google"}
        if came.path.endswith("/project/project-id"):
            return web.Response(text="of-the-machine", headers=flavor)
        token = self.token()
        left = int(self.issued[token] - self.now())
        return web.json_response({"access_token": token, "expires_in": left, "token_type": "Bearer"}, headers=flavor)

    def authorized(self, came: Came) -> None:
        """Whether a request has a token that is good now."""
        token = came.headers.get("authorization", "").removeprefix("Bearer ")
        if self.issued.get(token, 0.0) <= self.now() or token in self.revoked:
            words = "Request had invalid authentication credentials. Expected OAuth 2 access token."
            raise refused(401, "UNAUTHENTICATED", words, "ACCESS_TOKEN_EXPIRED" if token in self.issued else None)


@define(eq=False)
class FakeVertex(FakeGoogle):
    """Vertex AI.

    Args:
        project: the only one there is.
        key: of its express mode.
        sdks: whether those who ask are SDKs, which say so in headers of their own.
    """

    project: str = "acme-1"
    key: str = "AQ.express-key"
    sdks: bool = False

    async def answer(self, came: Came, request: web.Request) -> web.StreamResponse:
        """Check what every request must have, then by the way it goes."""
        if (place := _PLACE.fullmatch(came.path)) is None or came.path == "/v1/":
            if came.path == "/v1beta1/publishers/google/models":
                self.authorized(came)
                return web.json_response({"publisherModels": [{"name": f"publishers/google/models/{one}"} for one in LISTED]})
            return await super().answer(came, request)
        self._who(came, place["project"])
        if not self.sdks and {"x-goog-api-client", "anthropic-version", "x-stainless-lang"} & came.headers.keys():
            raise refused(400, "INVALID_ARGUMENT", "no imitation of an SDK is wanted here")
        rest = place["rest"]
        if found := _GEMINI.fullmatch(rest):
            return await self._gemini(came, request, found["method"])
        if place["project"] and (found := _CLAUDE.fullmatch(rest)):
            return await self._claude(came, request, found["model"], found["method"])
        if place["project"] and (found := _MISTRAL.fullmatch(rest)):
            return await self._chat(came, request, found["model"], streams=found["method"] == "streamRawPredict")
        if place["project"] and rest == "endpoints/openapi/chat/completions":
            return await self._chat(came, request, None, streams=None)
        raise refused(404, "NOT_FOUND", f"Publisher Model `{rest}` was not found or your project does not have access to it.")

    def _who(self, came: Came, project: str | None) -> None:
        given = {"authorization", "x-goog-api-key"} & came.headers.keys()
        if len(given) != 1:
            raise refused(401, "UNAUTHENTICATED", "Exactly one authentication credential is expected.", "CREDENTIALS_MISSING")
        if "x-goog-api-key" in given:
            if project is not None:
                raise refused(401, "UNAUTHENTICATED", "API keys are not supported by this API.", "CREDENTIALS_MISSING")
            if came.headers["x-goog-api-key"] != self.key:
                raise refused(400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key.", "API_KEY_INVALID")
            return
        self.authorized(came)
        if project != self.project:
            raise refused(403, "PERMISSION_DENIED", f"Permission denied on resource project {project}.", "CONSUMER_INVALID")

    # ---- Gemini

    async def _gemini(self, came: Came, request: web.Request, method: str) -> web.StreamResponse:
        body = came.json
        allowed = _COUNTED if method == "countTokens" else _TOP
        if unknown := sorted(body.keys() - allowed):
            raise refused(400, "INVALID_ARGUMENT", f'Invalid JSON payload received. Unknown name "{unknown[0]}".')
        if not body.get("contents") or any(one.get("role") not in ("user", "model") for one in body["contents"]):
            raise refused(400, "INVALID_ARGUMENT", "Please use a valid role: user, model.")
        if "enableEnhancedCivicAnswers" in body.get("generationConfig", {}) or "includeServer" in json.dumps(body):
            raise refused(400, "INVALID_ARGUMENT", "Invalid JSON payload received.")
        if method == "countTokens":
            return web.json_response({"totalTokens": 7, "totalBillableCharacters": 20})
        if method == "generateContent":
            return web.json_response(_gemini_reply(body, "STOP", ANSWER))
        if method == "streamGenerateContent":
            chunks = [_gemini_reply(body, None, ANSWER[:5]), _gemini_reply(body, "STOP", ANSWER[5:])]
            if came.query.get("alt") != "sse":
                return await streamed(request, json.dumps(chunks).encode(), kind="application/json; charset=UTF-8")
            return await streamed(request, *(event(one) for one in chunks))
        raise refused(404, "NOT_FOUND", "no such method")

    # ---- Claude

    async def _claude(self, came: Came, request: web.Request, model: str, method: str) -> web.StreamResponse:
        body = came.json
        if body.get("anthropic_version") not in ("vertex-2023-10-16", "2026-10-21"):
            raise _claude_refusal(f"anthropic_version: bad value {body.get('anthropic_version')!r}")
        if model == "count-tokens":
            if not isinstance(body.get("model"), str) or "/" in body["model"] or "max_tokens" in body:
                raise _claude_refusal("model: Field required")
            return web.json_response({"input_tokens": 9})
        if "model" in body:
            raise _claude_refusal("model: Extra inputs are not permitted")
        if "max_tokens" not in body or (method == "streamRawPredict") != bool(body.get("stream")):
            raise _claude_refusal("max_tokens: Field required")
        if body["anthropic_version"] == "2026-10-21" and _SAMPLERS & body.keys():
            raise _claude_refusal("temperature: Extra inputs are not permitted")
        if '"type": "url"' in json.dumps(body):
            raise _claude_refusal("messages.0.content.0.image.source.base64.data: URL sources are not supported")
        if not body.get("stream"):
            return web.json_response(_claude_reply(body, model))
        return await streamed(request, *_claude_events(model))

    # ---- open models

    async def _chat(self, came: Came, request: web.Request, model: str | None, *, streams: bool | None) -> web.StreamResponse:
        body = came.json
        if (
            not isinstance(body.get("model"), str)
            or (model is None) != ("/" in body["model"])
            or model not in (None, body["model"])
        ):
            raise Refused(400, [google_error(400, "INVALID_ARGUMENT", "Malformed publisher model. Expected publisher/model.")])
        if "max_completion_tokens" in body or not body.get("messages") or streams not in (None, bool(body.get("stream"))):
            raise Refused(400, [google_error(400, "INVALID_ARGUMENT", "Invalid request.")])
        told = {"id": "c", "created": 1, "model": body["model"]}
        if not body.get("stream"):
            choice = {"index": 0, "message": {"role": "assistant", "content": ANSWER}, "finish_reason": "stop"}
            return web.json_response({**told, "object": "chat.completion", "choices": [choice]})
        pieces = [({"role": "assistant", "content": ANSWER[:5]}, None), ({"content": ANSWER[5:]}, "stop")]
        chunks = [{"index": 0, "delta": delta, "finish_reason": why} for delta, why in pieces]
        told["object"] = "chat.completion.chunk"
        return await streamed(request, *(event({**told, "choices": [one]}) for one in chunks), b"data: [DONE]\n\n")


LISTED = ("gemini-2.5-pro", "imagen-4", "gemini-embedding-001", "gemini-3-flash")


def _claude_refusal(message: str) -> Refused:
    told = {"type": "invalid_request_error", "message": message}
    return Refused(400, {"type": "error", "error": told, "request_id": "req_vrtx_1"})


def _gemini_reply(body: Mapping[str, Any], finish: str | None, text: str) -> dict[str, Any]:
    declared = [one for tool in body.get("tools", ()) for one in tool.get("functionDeclarations", ())]
    answered = any("functionResponse" in part for content in body["contents"] for part in content["parts"])
    part: dict[str, Any] = {"text": text}
    if declared and not answered:
        part = {"functionCall": {"name": declared[0]["name"], "args": {"city": "Oslo"}}, "thoughtSignature": "c2ln"}
    candidate = {"content": {"role": "model", "parts": [part]}, **({"finishReason": finish} if finish else {})}
    usage = {"promptTokenCount": 5, "candidatesTokenCount": 3, "totalTokenCount": 8, "trafficType": "ON_DEMAND"}
    return {"candidates": [candidate], "usageMetadata": usage, "modelVersion": "gemini-2.5-pro", "responseId": "r-1"}


def _claude_reply(body: Mapping[str, Any], model: str) -> dict[str, Any]:
    content: list[dict[str, Any]] = [{"type": "text", "text": ANSWER}]
    why = "end_turn"
    call = {"type": "tool_use", "id": "toolu_vrtx_1", "input": {"city": "Oslo"}}
    if body.get("tools") and "tool_result" not in json.dumps(body):
        content, why = [{**call, "name": body["tools"][0]["name"]}], "tool_use"
    return {
        "id": "msg_vrtx_1", "type": "message", "role": "assistant", "model": model, "content": content, "stop_reason": why,
        "stop_sequence": None, "usage": {"input_tokens": 5, "output_tokens": 3},
    }  # fmt: skip


def _claude_events(model: str) -> list[bytes]:
    message = {**_claude_reply({}, model), "content": [], "stop_reason": None}
    piece = {"type": "content_block_delta", "index": 0}
    trees = [
        {"type": "message_start", "message": message},
        {"type": "ping"},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {**piece, "delta": {"type": "text_delta", "text": ANSWER[:5]}},
        {**piece, "delta": {"type": "text_delta", "text": ANSWER[5:]}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": {"output_tokens": 3}},
        {"type": "message_stop"},
    ]  # fmt: skip
    return [event(tree, str(tree["type"])) for tree in trees]


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def written(path: Path, tree: Any) -> Path:
    """A file with this in it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(tree if isinstance(tree, str) else json.dumps(tree))
    return path
