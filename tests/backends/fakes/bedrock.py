"""Amazon Bedrock, its runtime and its control plane, as strict as they are: signatures, frames, and what a body may hold."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import re
import struct
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any
from urllib.parse import quote, unquote

import botocore.session
from aiohttp import web
from attrs import define, field
from botocore.validate import ParamValidator

from tests.backends.fakes.server import Came, FakeVendor, Refused, streamed

ACCESS, SECRET, TOKEN = "AKIDEXAMPLE000000001", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "FwoGZXIvYXdzE-session"
BEARER = "ABSKQmVkcm9ja0FQSUtleS1leGFtcGxl"
REGION = "us-west-2"
SONNET = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
NOVA = "us.amazon.nova-pro-v1:0"
HAIKU = "anthropic.claude-3-haiku-20240307-v1:0"
ARN = "arn:aws:bedrock:us-west-2:123456789012:application-inference-profile/abc123def456"
EVENTSTREAM = "application/vnd.amazon.eventstream"
CONVERSE = botocore.session.Session().get_service_model("bedrock-runtime").shape_for("ConverseRequest")
"""AWS's own description of a request."""
_KNOWN = {
    "anthropic_version", "anthropic_beta", "max_tokens", "messages", "system", "metadata", "stop_sequences", "temperature",
    "top_p", "top_k", "tools", "tool_choice", "thinking", "output_config", "context_management",
}  # fmt: skip
_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<key>\w+)/(?P<day>\d{8})/(?P<region>[\w-]+)/bedrock/aws4_request, "
    r"SignedHeaders=(?P<names>[a-z0-9;-]+), Signature=(?P<signature>[0-9a-f]{64})"
)


def frame(payload: Any, **headers: str) -> bytes:
    """A message in AWS's framing; ``_`` in a header's name stands for ``-``, and a colon is put before it."""
    data = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    named = [(f":{name.replace('_', '-')}".encode(), value.encode()) for name, value in headers.items()]
    head = b"".join(bytes([len(name)]) + name + b"\x07" + struct.pack(">H", len(value)) + value for name, value in named)
    prelude = struct.pack(">II", 12 + len(head) + len(data) + 4, len(head))
    whole = prelude + struct.pack(">I", binascii.crc32(prelude)) + head + data
    return whole + struct.pack(">I", binascii.crc32(whole))


def chunked(tree: Any) -> bytes:
    """One of Anthropic's events in a ``chunk``, with the padding that AWS adds."""
    inner = base64.b64encode(tree if isinstance(tree, bytes) else json.dumps(tree).encode()).decode()
    return frame({"bytes": inner, "p": "abcdefgh"}, event_type="chunk", content_type="application/json", message_type="event")


def excepted(name: str, message: str) -> bytes:
    """An exception in a stream."""
    tree = {"message": message}
    return frame(tree, exception_type=name, content_type="application/json", message_type="exception")


def spoken(text: str) -> list[dict[str, Any]]:
    """Anthropic's events of a short answer, as Bedrock gives them."""
    usage = {"input_tokens": 9, "output_tokens": 3}
    head = {"id": "msg_bdrk_1", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5", "content": []}
    metrics = {"inputTokenCount": 9, "outputTokenCount": 3, "invocationLatency": 900, "firstByteLatency": 300}
    half = len(text) // 2
    pieces = [{"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": part}}
              for part in (text[:half], text[half:])]  # fmt: skip
    return [
        {"type": "message_start", "message": {**head, "stop_reason": None, "stop_sequence": None, "usage": usage}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        *pieces,
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": usage},
        {"type": "message_stop", "amazon-bedrock-invocationMetrics": metrics},
    ]


@define(eq=False)
class FakeBedrock(FakeVendor):
    """One region.

    Args:
        now: Unix seconds, by which signatures are judged.
        keys: secret keys by access keys.
        token: that must come with a signature; None if the keys are for good.
        says: the answer.
        frames: what a stream consists of, instead of the answer.
        stops: why Converse stops.
    """

    now: Callable[[], float] | None = None
    keys: dict[str, str] = field(factory=lambda: {ACCESS: SECRET})
    token: str | None = None
    says: str = "Forty-two"
    frames: list[bytes] | None = None
    content: list[Any] | None = None
    """What a whole reply of Converse says, instead of the answer."""
    deltas: list[tuple[str, Any]] | None = None
    """What a stream of Converse says, instead of the answer."""
    stops: str = "end_turn"

    async def answer(self, came: Came, request: web.Request) -> web.StreamResponse:
        """By the path."""
        raw = request.raw_path if isinstance(request.raw_path, str) else came.path
        self._known(came, raw)
        if came.method == "GET":
            return self._listed(came)
        found = re.fullmatch(r"/model/([^/]+)/([a-z-]+)", raw.partition("?")[0])
        if found is None:
            raise _refused(404, "UnknownOperationException", "")
        model, operation = unquote(found[1]), found[2]
        if operation in ("converse", "converse-stream"):
            return await self._conversed(came, request, model, stream=operation.endswith("stream"))
        if model not in (SONNET, HAIKU, ARN, "anthropic.claude-sonnet-4-5-20250929-v1:0"):
            raise _refused(400, "ValidationException", "The provided model identifier is invalid.")
        if operation == "count-tokens":
            if model.startswith("us."):
                raise _refused(400, "ValidationException", "The provided model doesn't support counting tokens.")
            self._check(json.loads(base64.b64decode(came.json["input"]["invokeModel"]["body"])))
            return web.json_response({"inputTokens": 21})
        self._check(came.json)
        if operation == "invoke":
            return web.json_response(self._whole())
        assert operation == "invoke-with-response-stream"
        frames = self.frames if self.frames is not None else [chunked(tree) for tree in spoken(self.says)]
        return await streamed(request, *frames, kind=EVENTSTREAM)

    async def _conversed(self, came: Came, request: web.Request, model: str, *, stream: bool) -> web.StreamResponse:
        """Converse, whose requests are held to AWS's own description of them."""
        if model not in (NOVA, ARN):
            raise _refused(400, "ValidationException", "This action doesn't support the model that you provided.")
        checked = ParamValidator().validate({**came.json, "modelId": model}, CONVERSE)
        report = checked.generate_report()
        unknown = _beyond(came.json, CONVERSE, "")
        roles = [turn["role"] for turn in came.json["messages"]]
        if report or unknown or roles[0] != "user" or any(a == b for a, b in pairwise(roles)):
            raise _refused(400, "ValidationException", f"Malformed input request: {report} {unknown} {roles}")
        usage = {"inputTokens": 9, "outputTokens": 3, "totalTokens": 12}
        if not stream:
            message = {"role": "assistant", "content": self.content or [{"text": self.says}]}
            whole = {"output": {"message": message}, "stopReason": self.stops, "usage": usage, "metrics": {"latencyMs": 9}}
            return web.json_response(whole)
        half = len(self.says) // 2
        spoken = [{"contentBlockIndex": 0, "delta": {"text": part}} for part in (self.says[:half], self.says[half:])]
        events: list[tuple[str, Any]] = [
            ("messageStart", {"role": "assistant"}),
            *(self.deltas or [*(("contentBlockDelta", one) for one in spoken), ("contentBlockStop", {"contentBlockIndex": 0})]),
            ("messageStop", {"stopReason": self.stops}),
            ("metadata", {"usage": usage, "metrics": {"latencyMs": 9}}),
        ]
        frames = [frame({**tree, "p": "abc"}, event_type=name, message_type="event") for name, tree in events]
        return await streamed(request, *frames, kind=EVENTSTREAM)

    def _whole(self) -> dict[str, Any]:
        head = {"id": "msg_bdrk_1", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5"}
        text = [{"type": "text", "text": self.says}]
        ends = {"stop_reason": "end_turn", "stop_sequence": None, "usage": {"input_tokens": 9, "output_tokens": 3}}
        return {**head, "content": text, **ends}

    def _check(self, tree: Mapping[str, Any]) -> None:
        if tree.get("anthropic_version") != "bedrock-2023-05-31":
            raise _refused(400, "ValidationException", "anthropic_version: Field required")
        if "max_tokens" not in tree or not tree.get("messages"):
            raise _refused(400, "ValidationException", "max_tokens: Field required")
        for name in tree.keys() - _KNOWN:
            raise _refused(400, "ValidationException", f"{name}: Extra inputs are not permitted")

    def _listed(self, came: Came) -> web.Response:
        if came.path == "/foundation-models":
            assert came.query == {"byOutputModality": "TEXT"}
            models = [
                _model(HAIKU, "Anthropic", ["ON_DEMAND"]),
                _model("anthropic.claude-sonnet-4-5-20250929-v1:0", "Anthropic", ["INFERENCE_PROFILE"]),
                _model("amazon.nova-lite-v1:0", "Amazon", ["ON_DEMAND"]),
            ]
            return web.json_response({"modelSummaries": models})
        if came.path == "/inference-profiles":
            nova = _profile(NOVA, "ACTIVE")
            if "nextToken" not in came.query:
                return web.json_response({"inferenceProfileSummaries": [_profile(SONNET, "ACTIVE"), nova], "nextToken": "a+b/c="})
            assert came.query["nextToken"] == "a+b/c="
            return web.json_response({"inferenceProfileSummaries": [_profile("global.anthropic.claude-opus-4-6-v1", "ACTIVE")]})
        raise _refused(404, "UnknownOperationException", "")

    # ---- who asks

    def _known(self, came: Came, raw: str) -> None:
        told = came.headers.get("authorization", "")
        if told.startswith("Bearer "):
            if told != f"Bearer {BEARER}":
                message = "Authentication failed: Please make sure your API Key is valid."
                raise _refused(403, "AccessDeniedException", message)
            return
        parts = _AUTHORIZATION.fullmatch(told)
        if parts is None:
            raise _refused(403, "MissingAuthenticationTokenException", "Missing Authentication Token")
        if parts["key"] not in self.keys:
            raise _refused(403, "UnrecognizedClientException", "The security token included in the request is invalid.")
        if self.token is not None and came.headers.get("x-amz-security-token") != self.token:
            raise _refused(403, "ExpiredTokenException", "The security token included in the request is expired")
        if self.now is not None and came.headers["x-amz-date"][:8] != parts["day"]:
            raise _refused(403, "InvalidSignatureException", "Date in Credential scope does not match")
        if parts["region"] != REGION or self._signature(came, raw, parts) != parts["signature"]:
            raise _refused(403, "InvalidSignatureException", "The request signature we calculated does not match.")

    def _signature(self, came: Came, raw: str, parts: re.Match[str]) -> str:
        """As AWS computes it, from what came."""
        path, _, query = raw.partition("?")
        names = parts["names"].split(";")
        assert {"host", "x-amz-date"} <= set(names) and names == sorted(names)
        assert ("x-amz-security-token" in names) == ("x-amz-security-token" in came.headers)
        lines = [f"{name}:{came.headers[name].strip()}\n" for name in names]
        pairs = "&".join(sorted(pair if "=" in pair else pair + "=" for pair in query.split("&"))) if query else ""
        hashed = hashlib.sha256(came.body).hexdigest()
        canonical = f"{came.method}\n{quote(path, safe='/~')}\n{pairs}\n{''.join(lines)}\n{parts['names']}\n{hashed}"
        scope = f"{parts['day']}/{parts['region']}/bedrock/aws4_request"
        digest = hashlib.sha256(canonical.encode()).hexdigest()
        text = f"AWS4-HMAC-SHA256\n{came.headers['x-amz-date']}\n{scope}\n{digest}"
        day = _mac(b"AWS4" + self.keys[parts["key"]].encode(), parts["day"])
        return _mac(_mac(_mac(_mac(day, parts["region"]), "bedrock"), "aws4_request"), text).hex()


def _beyond(value: Any, shape: Any, path: str) -> list[str]:
    """Fields that the description does not have, at any depth."""
    if shape.type_name == "structure" and isinstance(value, dict) and not getattr(shape, "is_document_type", False):
        known = shape.members
        strange = [f"{path}.{name}" for name in value if name not in known]
        return strange + [one for name in value if name in known for one in _beyond(value[name], known[name], f"{path}.{name}")]
    if shape.type_name == "list" and isinstance(value, list):
        return [one for n, entry in enumerate(value) for one in _beyond(entry, shape.member, f"{path}[{n}]")]
    return []


def _mac(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def _refused(status: int, name: str, message: str) -> Refused:
    return Refused(
        status, {"message": message}, {"x-amzn-errortype": f"{name}:http://internal.amazon.com/coral/", "x-amzn-requestid": "r"}
    )


def _model(ident: str, provider: str, types: list[str]) -> dict[str, Any]:
    return {"modelId": ident, "modelName": ident.partition(".")[2], "providerName": provider, "inferenceTypesSupported": types,
            "modelLifecycle": {"status": "ACTIVE"}, "outputModalities": ["TEXT"]}  # fmt: skip


def _profile(ident: str, status: str) -> dict[str, Any]:
    arn = f"arn:aws:bedrock:{REGION}::foundation-model/{ident.partition('.')[2]}"
    return {"inferenceProfileId": ident, "inferenceProfileName": ident, "status": status, "type": "SYSTEM_DEFINED",
            "models": [{"modelArn": arn}]}  # fmt: skip
