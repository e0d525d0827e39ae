"""Google's Gemini API and its Code Assist, with the token server behind the latter; each as strict as the real one."""

from __future__ import annotations

import asyncio
import json
import re
from collections import deque
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

from aiohttp import web
from attrs import define, field

from tests.backends.fakes.server import Came, FakeVendor, Refused, event, streamed

ANSWER = "Forty-two."
LIFE = 3599
BLOCKED = "something forbidden"
SIGNATURE = "c2lnbmVk"

_TYPES = "type.googleapis.com/google.rpc."
_METHOD = re.compile(r"/(?P<version>v1|v1beta)/models/(?P<model>[^/:]+):(?P<method>\w+)")
_TOP = {"contents", "systemInstruction", "tools", "toolConfig", "safetySettings", "generationConfig", "cachedContent", "store",
        "serviceTier"}  # fmt: skip
_INNER = {"contents", "systemInstruction", "tools", "toolConfig", "safetySettings", "generationConfig", "labels", "session_id"}
_GENERATION = {
    "temperature", "topP", "topK", "candidateCount", "maxOutputTokens", "stopSequences", "responseLogprobs", "logprobs",
    "presencePenalty", "frequencyPenalty", "seed", "responseMimeType", "responseJsonSchema", "responseSchema",
    "responseModalities", "mediaResolution", "speechConfig", "thinkingConfig",
}  # fmt: skip
_PARTS = {"text", "inlineData", "fileData", "functionCall", "functionResponse", "thought", "thoughtSignature"}


def google_error(status: int, word: str, message: str, *details: dict[str, Any]) -> dict[str, Any]:
    """An error as Google's APIs write it."""
    told = {"details": [{**one, "@type": _TYPES + one["@type"]} for one in details]} if details else {}
    return {"error": {"code": status, "message": message, "status": word, **told}}


def info(reason: str, **metadata: str) -> dict[str, Any]:
    """The detail that names a reason."""
    return {"@type": "ErrorInfo", "reason": reason, "domain": "googleapis.com", "metadata": metadata}


def retry(delay: str) -> dict[str, Any]:
    """The detail that says when to ask again."""
    return {"@type": "RetryInfo", "retryDelay": delay}


def quota(*ids: str) -> dict[str, Any]:
    """The detail that says which limits were met."""
    return {"@type": "QuotaFailure", "violations": [{"quotaId": one, "quotaMetric": "requests"} for one in ids]}


def refused(status: int, word: str, message: str, *details: dict[str, Any]) -> Refused:
    """An error, to be raised."""
    return Refused(status, google_error(status, word, message, *details))


def reply(body: dict[str, Any], model: str, text: str, finish: str | None = "STOP") -> dict[str, Any]:
    """What a model says: it calls a function that it may, unless it has just got an answer from one."""
    last = body["contents"][-1]
    tools = [one for tool in body.get("tools", ()) for one in tool.get("functionDeclarations", ())]
    if tools and not any("functionResponse" in part for part in last["parts"]):
        call = {"name": tools[0]["name"], "args": {"city": "Oslo"}}
        parts: list[dict[str, Any]] = [{"functionCall": call, "thoughtSignature": SIGNATURE}] if finish else []
    else:
        parts = [{"text": text}]
    candidate = {"content": {"role": "model", "parts": parts}, "index": 0, **({"finishReason": finish} if finish else {})}
    usage = {"promptTokenCount": 7, "candidatesTokenCount": 3, "totalTokenCount": 10}
    return {"candidates": [candidate], "usageMetadata": usage, "modelVersion": model, "responseId": "r-1"}


def check_prompt(body: dict[str, Any], allowed: set[str], *, roles: bool) -> None:
    """Refuse what the server would of a prompt.

    Args:
        body: the request.
        allowed: the fields that it may have.
        roles: whether contents must have one, as on Vertex AI.
    """
    for name, known in ((body, allowed), (body.get("generationConfig", {}), _GENERATION)):
        if unknown := sorted(name.keys() - known):
            raise refused(400, "INVALID_ARGUMENT", f'Invalid JSON payload received. Unknown name "{unknown[0]}".')
    if not body.get("contents"):
        raise refused(400, "INVALID_ARGUMENT", "* GenerateContentRequest.contents: contents is not specified")
    for content in body["contents"]:
        if content.get("role", "" if roles else "user") not in ("user", "model"):
            raise refused(400, "INVALID_ARGUMENT", "Please use a valid role: user, model.")
        for part in content["parts"]:
            if not part or part.keys() - _PARTS:
                raise refused(400, "INVALID_ARGUMENT", "Invalid JSON payload received.")
            if "functionCall" in part and "thoughtSignature" not in part:
                raise refused(400, "INVALID_ARGUMENT", "Function call is missing a thought_signature in functionCall parts.")


@define(eq=False)
class FakeGemini(FakeVendor):
    """The Gemini API, by key.

    Args:
        keys: that are good.
        pages: of its list of models.
    """

    keys: set[str] = field(factory=lambda: {"AQ.good-key-one"})
    pages: list[list[str]] = field(factory=lambda: [["gemini-2.5-pro", "gemini-3.6-flash"]])

    async def answer(self, came: Came, request: web.Request) -> web.StreamResponse:
        """Check what every request must have, then by its method."""
        self._who(came)
        if came.method == "GET" and came.path in ("/v1/models", "/v1beta/models"):
            return web.json_response(self._listed(came))
        found = _METHOD.fullmatch(came.path)
        if found is None or came.method != "POST":
            raise Refused(404, "<html><title>Error 404 (Not Found)!!1</title></html>")
        model, method, body = found["model"], found["method"], came.json
        if model not in [one for page in self.pages for one in page]:
            raise refused(404, "NOT_FOUND", f"models/{model} is not found for API version {found['version']}.")
        if method == "countTokens":
            return web.json_response(self._counted(body, model))
        check_prompt(body, _TOP, roles=False)
        if method == "generateContent":
            return web.json_response(self._whole(body, model))
        if method != "streamGenerateContent":
            raise Refused(404, "<html><title>Error 404 (Not Found)!!1</title></html>")
        chunks = [reply(body, model, ANSWER[:5], None), reply(body, model, ANSWER[5:])]
        if came.query.get("alt") == "sse":
            return await streamed(request, *(event(one) for one in chunks))
        pretty = json.dumps(chunks, indent=2).encode()
        return await streamed(request, pretty[:100], pretty[100:], kind="application/json; charset=UTF-8")

    def _who(self, came: Came) -> None:
        if "authorization" in came.headers or "key" in came.query:
            raise refused(400, "INVALID_ARGUMENT", "Multiple authentication credentials received. Please pass only one.")
        key = came.headers.get("x-goog-api-key")
        if key is None:
            raise refused(403, "PERMISSION_DENIED", "Method doesn't allow unregistered callers.")
        if key not in self.keys:
            told = info("API_KEY_INVALID", service="generativelanguage.googleapis.com")
            raise refused(400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key.", told)

    def _listed(self, came: Came) -> dict[str, Any]:
        if not 1 <= int(came.query.get("pageSize", "50")) <= 1000:
            raise refused(400, "INVALID_ARGUMENT", "pageSize")
        page = int(came.query.get("pageToken", "0"))
        methods = ["generateContent", "countTokens"]
        models = [{"name": f"models/{one}", "supportedGenerationMethods": methods} for one in self.pages[page]]
        return {"models": models, **({"nextPageToken": str(page + 1)} if page + 1 < len(self.pages) else {})}

    def _counted(self, body: dict[str, Any], model: str) -> dict[str, Any]:
        if body.keys() == {"generateContentRequest"}:
            inner = body["generateContentRequest"]
            if inner.get("model") != f"models/{model}":
                raise refused(400, "INVALID_ARGUMENT", "* CountTokensRequest.generate_content_request.model: unexpected")
            check_prompt(inner, _TOP | {"model"}, roles=False)
        elif body.keys() != {"contents"}:
            raise refused(400, "INVALID_ARGUMENT", "Invalid JSON payload received.")
        return {"totalTokens": 9}

    def _whole(self, body: dict[str, Any], model: str) -> dict[str, Any]:
        if BLOCKED in json.dumps(body):
            return {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "usageMetadata": {"promptTokenCount": 7}}
        return reply(body, model, ANSWER)


@define(eq=False)
class FakeCodeAssist(FakeVendor):
    """Code Assist and Google's token server.

    Args:
        now: the time.
        project: that requests must name.
        tier: that the account is in; None is one that must be onboarded first.
        account: more of what ``loadCodeAssist`` answers.
        polls: answers of the long-running operation before the one that says it is done.
        tokens: good ones, with their ends.
        models: with a quota; None refuses to tell.
        client: id and secret that may refresh.
    """

    now: Callable[[], float] = lambda: 1_700_001_000.0
    project: str = "acme-1"
    tier: str | None = "standard-tier"
    account: dict[str, Any] = field(factory=dict)
    polls: int = 2
    tokens: dict[str, float] = field(factory=dict)
    models: list[str] | None = field(factory=lambda: ["gemini-2.5-pro", "gemini-2.5-flash"])
    client: tuple[str, str] = ("id.apps.googleusercontent.com", "shh")
    refresh_token: str = "1//good"
    before_grant: deque[Callable[[], None]] = field(factory=deque)
    """Run once each while the token server thinks."""
    _left: int = 0

    async def answer(self, came: Came, request: web.Request) -> web.StreamResponse:
        """By the path."""
        if came.path == "/token":
            return web.json_response(self._granted(came))
        self._who(came)
        if came.method == "GET" and came.path == "/v1internal/operations/onboard-1":
            return web.json_response(self._operation())
        if came.method != "POST" or came.headers.get("content-type") != "application/json":
            raise Refused(404, "<html><title>Error 404 (Not Found)!!1</title></html>")
        match came.path:
            case "/v1internal:loadCodeAssist":
                if self.account.get("slow"):
                    await asyncio.sleep(1.0)
                return web.json_response(self._loaded(came.json))
            case "/v1internal:onboardUser":
                return web.json_response(self._onboarding(came.json))
            case "/v1internal:retrieveUserQuota":
                return web.json_response(self._quotas(came.json))
            case "/v1internal:countTokens":
                return web.json_response(self._counted(came.json))
            case "/v1internal:generateContent" if not came.query:
                model, inner = self._opened(came.json)
                return web.json_response({"response": reply(inner, model, ANSWER), "traceId": "t-1"})
            case "/v1internal:streamGenerateContent" if came.query == {"alt": "sse"}:
                model, inner = self._opened(came.json)
                chunks = [reply(inner, model, ANSWER[:5], None), reply(inner, model, ANSWER[5:])]
                return await streamed(request, *(_chunk(one) for one in chunks))
        raise Refused(404, "<html><title>Error 404 (Not Found)!!1</title></html>")

    def token(self, life: float = LIFE) -> str:
        """A new access token."""
        made = f"ya29.secret-{len(self.tokens) + 1}"
        self.tokens[made] = self.now() + life
        return made

    # ---- tokens

    def _granted(self, came: Came) -> dict[str, Any]:
        if came.headers.get("content-type") != "application/x-www-form-urlencoded":
            raise Refused(400, {"error": "invalid_request"})
        form = {name: values[0] for name, values in parse_qs(came.body.decode()).items()}
        if form.keys() != {"client_id", "client_secret", "refresh_token", "grant_type"} or form["grant_type"] != "refresh_token":
            raise Refused(400, {"error": "invalid_request", "error_description": f"{sorted(form)}"})
        if (form["client_id"], form["client_secret"]) != self.client:
            raise Refused(401, {"error": "invalid_client", "error_description": "The OAuth client was not found."})
        if self.before_grant:
            self.before_grant.popleft()()
        if form["refresh_token"] != self.refresh_token:
            raise Refused(400, {"error": "invalid_grant", "error_description": "Token has been expired or revoked."})
        return {"access_token": self.token(), "expires_in": LIFE, "scope": "s", "token_type": "Bearer", "id_token": "e.y.j"}

    def _who(self, came: Came) -> None:
        for name, value in came.headers.items():
            if any(word in value for word in ("GeminiCLI", "google-api-nodejs-client", "gl-node")) or name == "x-goog-api-client":
                raise refused(400, "INVALID_ARGUMENT", "no imitation of the CLI is wanted here")
        token = came.headers.get("authorization", "").removeprefix("Bearer ")
        if self.tokens.get(token, 0.0) <= self.now():
            raise refused(401, "UNAUTHENTICATED", "Request had invalid authentication credentials.", info("ACCESS_TOKEN_EXPIRED"))

    # ---- the account

    def _loaded(self, body: dict[str, Any]) -> dict[str, Any]:
        self._metadata(body, {"cloudaicompanionProject"})
        tiers = [{"id": "free-tier", "isDefault": True}, {"id": "standard-tier", "userDefinedCloudaicompanionProject": True}]
        known = {"currentTier": {"id": self.tier}, "cloudaicompanionProject": self.project} if self.tier else {}
        return {**known, "allowedTiers": tiers, **self.account}

    def _onboarding(self, body: dict[str, Any]) -> dict[str, Any]:
        self._metadata(body, {"cloudaicompanionProject", "tierId"})
        if body["tierId"] == "free-tier" and "cloudaicompanionProject" in body:
            raise refused(400, "FAILED_PRECONDITION", "Precondition Failed")
        self._left = self.polls
        return self._operation()

    def _operation(self) -> dict[str, Any]:
        self._left -= 1
        if self._left >= 0:
            return {"name": "operations/onboard-1"}
        return {"name": "operations/onboard-1", "done": True, "response": {"cloudaicompanionProject": {"id": self.project}}}

    @staticmethod
    def _metadata(body: dict[str, Any], more: set[str]) -> None:
        told = body.get("metadata", {})
        if body.keys() - {"metadata"} - more or not {"ideType", "platform", "pluginType"} <= told.keys():
            raise refused(400, "INVALID_ARGUMENT", "Request contains an invalid argument.")
        if told.get("duetProject") != body.get("cloudaicompanionProject"):
            raise refused(400, "INVALID_ARGUMENT", "Request contains an invalid argument.")

    def _quotas(self, body: dict[str, Any]) -> dict[str, Any]:
        if body != {"project": self.project}:
            raise refused(400, "INVALID_ARGUMENT", "Request contains an invalid argument.")
        if self.models is None:
            raise refused(403, "PERMISSION_DENIED", "The caller does not have permission")
        kinds = ("REQUESTS", "TOKENS")
        buckets = [{"modelId": one, "tokenType": kind, "remainingFraction": 0.5} for one in self.models for kind in kinds]
        return {"buckets": buckets}

    # ---- requests

    def _opened(self, body: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        if body.keys() != {"model", "project", "user_prompt_id", "request"}:
            raise refused(400, "INVALID_ARGUMENT", f"Invalid JSON payload received: {sorted(body)}")
        if body["project"] != self.project:
            raise refused(403, "PERMISSION_DENIED", "Permission denied on resource project.", info("CONSUMER_INVALID"))
        if body["model"].startswith("models/") or not body["user_prompt_id"]:
            raise refused(400, "INVALID_ARGUMENT", "Request contains an invalid argument.")
        if not body["model"].startswith("gemini-"):
            raise refused(404, "NOT_FOUND", "Requested entity was not found.")
        check_prompt(body["request"], _INNER, roles=True)
        return body["model"], body["request"]

    @staticmethod
    def _counted(body: dict[str, Any]) -> dict[str, Any]:
        inner = body.get("request", {})
        if body.keys() != {"request"} or inner.keys() != {"model", "contents"} or not inner["model"].startswith("models/"):
            raise refused(400, "INVALID_ARGUMENT", "Invalid JSON payload received.")
        check_prompt({"contents": inner["contents"]}, {"contents"}, roles=True)
        return {"totalTokens": sum(len(part.get("text", "")) for one in inner["contents"] for part in one["parts"])}


def _chunk(tree: dict[str, Any]) -> bytes:
    """An event as Code Assist writes it: over several lines that are one JSON, each ended by CRLF."""
    lines = json.dumps({"response": tree, "traceId": "t-1"}, indent=1).splitlines()
    return b"".join(b"data: " + line.encode() + b"\r\n" for line in lines) + b"\r\n"
