"""Bedrock's errors, which have their names in a header or in a frame's, and words (AWS, "Bedrock Runtime: common errors")."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from llmgw.errors import Kind, UpstreamRefused, UpstreamReply
from llmgw_dialects import failures
from llmgw_dialects.failures import Told, cleaned, loaded

_KINDS: Final[dict[str, Kind]] = {
    "throttling": "rate_limited",
    "toomanyrequests": "rate_limited",
    "servicequotaexceeded": "rate_limited",
    "modelnotready": "overloaded",
    "serviceunavailable": "overloaded",
    "internalserver": "upstream_error",
    "internalfailure": "upstream_error",
    "modelerror": "upstream_error",
    "modelstreamerror": "upstream_error",
    "modeltimeout": "timeout",
    "resourcenotfound": "model_not_found",
    "accessdenied": "permission",
    "expiredtoken": "authentication",
    "unrecognizedclient": "authentication",
    "invalidsignature": "authentication",
    "incompletesignature": "authentication",
    "invalidclienttokenid": "authentication",
    "missingauthenticationtoken": "authentication",
    "signaturedoesnotmatch": "authentication",
}
_TYPES: Final[dict[Kind, str]] = {
    "rate_limited": "rate_limit_error",
    "overloaded": "overloaded_error",
    "timeout": "timeout_error",
    "permission": "permission_error",
    "authentication": "authentication_error",
    "model_not_found": "not_found_error",
    "invalid_request": "invalid_request_error",
    "context_length": "invalid_request_error",
}
"""As Anthropic calls them in a stream."""
_TOO_LONG: Final = re.compile(r"input is too long|prompt is too long|too many input tokens|exceeds? the context", re.IGNORECASE)
_NO_MODEL: Final = re.compile(r"model identifier is invalid|on-demand throughput isn.t supported|end of its life", re.IGNORECASE)
_PROFILE: Final = re.compile(r"on-demand throughput", re.IGNORECASE)
_KEY: Final = re.compile(r"api key|authentication failed|bearer", re.IGNORECASE)
_ADVICE: Final[Mapping[Kind, str]] = {
    "authentication": (
        "Check AWS_BEARER_TOKEN_BEDROCK, or the AWS login: aws sts get-caller-identity shows whose it is, and aws sso login "
        "renews it."
    ),
    "permission": (
        "The login needs bedrock:InvokeModel and bedrock:InvokeModelWithResponseStream for this model, and the account access "
        "to it: see Model access in the Bedrock console of this region."
    ),
    "model_not_found": "Bedrock's models differ from region to region; GET /v1/models lists those of this one.",
}
_USE_PROFILE: Final = "Name an inference profile instead, as us.anthropic.… or global.anthropic.…; GET /v1/models lists them."


def read_error(status: int, headers: Mapping[str, str], body: bytes) -> UpstreamRefused:
    """Classify an error by its name, then by its words."""
    tree = loaded(body)
    name = _name(headers, tree)
    told = Told(_words(tree, body), code=name)
    # in no dialect's shape, so each client gets it in its own
    upstream = UpstreamReply(status, body, dialect="", headers=headers)
    error = failures.refused(told, status, upstream, headers)
    error.kind = kind_of(name, error.message, error.kind)
    advice = _USE_PROFILE if _PROFILE.search(error.message) else _ADVICE.get(error.kind, "")
    if advice:
        error.message = f"{error.message.rstrip()} {advice}"
        error.args = (error.message,)
    return error


def kind_of(name: str, message: str, otherwise: Kind) -> Kind:
    """What an error is.

    Args:
        name: as ``ThrottlingException``, or ``throttlingException`` in a stream.
        message: its words.
        otherwise: what it is by its status.
    """
    plain = name.lower().removesuffix("exception").removesuffix("error") if name else ""
    found = _KINDS.get(plain) or _KINDS.get(name.lower().removesuffix("exception"))
    if found == "permission" and _KEY.search(message):
        return "authentication"
    if plain == "validation" or found is None:
        if _TOO_LONG.search(message):
            return "context_length"
        if _NO_MODEL.search(message):
            return "model_not_found"
    return found or ("invalid_request" if plain == "validation" else otherwise)


def in_stream(name: str, payload: bytes) -> dict[str, Any]:
    """An error in the middle of a stream, as Anthropic tells one.

    Args:
        name: of the exception.
        payload: what it says.
    """
    message = _words(loaded(payload), payload) or name
    kind = kind_of(name, message, "upstream_error")
    return {"type": "error", "error": {"type": _TYPES.get(kind, "api_error"), "message": message}}


def _name(headers: Mapping[str, str], tree: Any) -> str:
    """Behind it may stand a colon and a URL, before it a namespace and a hash (Smithy, "restJson1")."""
    told = headers.get("x-amzn-errortype") or (tree.get("__type") if isinstance(tree, dict) else "") or ""
    return str(told).partition(":")[0].rpartition("#")[2].strip()


def _words(tree: Any, body: bytes) -> str:
    if isinstance(tree, dict):
        told = next((tree[key] for key in ("message", "Message", "errorMessage") if isinstance(tree.get(key), str)), None)
        if told is not None:
            return cleaned(told)
    return failures.told_in(tree).message if tree is not None else failures.excerpt(body)
