"""Errors of providers, and errors for clients."""

from __future__ import annotations

import json

import pytest

from llmgw.errors import BadRequest, GatewayError, ModelNotFound, TooMany, Unauthorized, UpstreamBroken, UpstreamRefused
from llmgw_dialects.openai_chat import DIALECT
from llmgw_dialects.retry import duration, retry_after


def body(**error: object) -> bytes:
    return json.dumps({"error": error}).encode()


@pytest.mark.parametrize(("status", "data", "kind"), [
    (401, body(code="invalid_api_key", type="invalid_request_error"), "authentication"),
    (401, b"", "authentication"),
    (429, body(code="rate_limit_exceeded", type="tokens"), "rate_limited"),
    (429, body(code="slow_down"), "rate_limited"),
    (429, body(code="insufficient_quota", type="insufficient_quota"), "billing"),
    (429, body(code="credit_balance_exhausted", type="insufficient_quota"), "billing"),
    (429, body(code="organization_spend_limit_exceeded"), "billing"),
    (429, body(code="project_spend_limit_exceeded"), "billing"),
    (429, body(type="insufficient_quota"), "billing"),
    (402, body(message="pay"), "billing"),
    (400, body(code="context_length_exceeded"), "context_length"),
    (400, body(message="This model's maximum context length is 8 tokens."), "context_length"),
    (400, body(code="content_filter"), "content_policy"),
    (400, body(code="content_policy_violation"), "content_policy"),
    (404, body(code="model_not_found"), "model_not_found"),
    (404, body(message="no such model"), "model_not_found"),
    (404, b"", "not_found"),
    (408, b"", "timeout"), (413, b"", "request_too_large"), (409, b"", "conflict"), (403, b"", "permission"),
    (400, b"", "invalid_request"),
    (422, b"", "invalid_request"), (500, b"", "upstream_error"), (502, b"", "upstream_error"), (504, b"", "timeout"),
    (498, b"", "overloaded"), (503, b"", "overloaded"), (529, b"", "overloaded"),
    (503, body(code="server_is_overloaded", type="service_unavailable_error"), "overloaded"),
    (403, b"<html><title>Attention Required! | Cloudflare</title></html>", "permission"),
])  # fmt: skip
def test_kinds(status: int, data: bytes, kind: str) -> None:
    """The code decides, then the type, then the words, then the status."""
    error = DIALECT.read_error(status, {}, data)
    assert (kind, status) == (error.kind, error.status)


@pytest.mark.parametrize(("data", "message"), [
    (body(message="no"), "no"),
    (b'{"error": "no"}', "no"),
    (b'{"code": "a sentence", "error": "no"}', "no"),
    (b'{"detail": "no"}', "no"),
    (b'{"detail": [{"loc": ["body"], "msg": "no"}]}', '[{"loc":["body"],"msg":"no"}]'),
    (b'{"message": "no", "object": "error"}', "no"),
    (b'[{"error": {"message": "no", "status": "INVALID_ARGUMENT"}}]', "no"),
    (b"no", "no"),
    (b"<html><head><title>No &amp; no</title></head></html>", "an HTML page, titled “No & no”"),
    (b"", "The provider answered with status 400 and no message."),
    (b"null", "null"),
])  # fmt: skip
def test_messages(data: bytes, message: str) -> None:
    """The message is found in any vendor's shape."""
    assert message == DIALECT.read_error(400, {}, data).message


def test_only_an_object_is_passed_on() -> None:
    """A page of HTML is kept for the log, but no client of this dialect gets it."""
    error = DIALECT.read_error(502, {"content-type": "text/html"}, b"<html>")
    assert error.upstream is not None and ("", b"<html>") == (error.upstream.dialect, error.upstream.body)
    assert b"<html>" not in DIALECT.write_error(error)
    own = body(message="no", odd=1)
    assert own == DIALECT.write_error(DIALECT.read_error(400, {}, own))


def test_secrets_are_blotted_out() -> None:
    """A key that a provider repeats does not stand in our message."""
    error = DIALECT.read_error(401, {}, body(message="Incorrect API key provided: sk-proj-abcdefghijklmnop."))
    assert "abcdefgh" not in error.message


@pytest.mark.parametrize(("headers", "message", "seconds"), [
    ({"retry-after-ms": "1500", "retry-after": "9"}, "", 1.5),
    ({"retry-after": "2.5"}, "", 2.5),
    ({"retry-after": "Wed, 21 Oct 2026 07:28:10 GMT", "date": "Wed, 21 Oct 2026 07:28:00 GMT"}, "", 10.0),
    ({"retry-after": "Wed, 21 Oct 2026 07:28:10 GMT"}, "", None),
    ({"retry-after": "soon"}, "", None), ({"retry-after": "-1"}, "", None), ({"retry-after": "inf"}, "", None),
    ({"x-ratelimit-reset-requests": "1s", "x-ratelimit-reset-tokens": "6m0s"}, "", 360.0),
    ({"x-ratelimit-reset-requests": "20ms", "x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-tokens": "6m0s"}, "", 0.02),
    ({}, "Rate limit reached. Please try again in 1.5s.", 1.5),
    ({}, "Please try again in 20ms. Visit us", 0.02),
    ({}, "Please try again in 1m2s.", 62.0),
    ({}, "", None),
])  # fmt: skip
def test_retry_after(headers: dict[str, str], message: str, seconds: float | None) -> None:
    """The wait is taken from the most exact source; a date counts from the provider's own clock."""
    assert seconds == retry_after(headers, message)
    error = DIALECT.read_error(429, headers, body(message=message or "no"))
    assert seconds == error.retry_after


def test_durations() -> None:
    """Go's durations are read whole or not at all."""
    assert [1.0, 90.5, 3600.0, 0.02, None, None] == [
        duration(text) for text in ("1s", "1m30.5s", "1h0m0s", "20ms", "", "5 apples")
    ]


@pytest.mark.parametrize(("error", "kind", "code"), [
    (BadRequest("no"), "invalid_request_error", None),
    (Unauthorized("no"), "invalid_request_error", "invalid_api_key"),
    (ModelNotFound("no"), "invalid_request_error", "model_not_found"),
    (TooMany("no"), "rate_limit_error", "rate_limit_exceeded"),
    (UpstreamBroken("no"), "server_error", "upstream_error"),
    (GatewayError("no"), "server_error", None),
])  # fmt: skip
def test_the_gateways_errors_look_like_openais(error: GatewayError, kind: str, code: str | None) -> None:
    """Message, type, param and code are there, with OpenAI's own words."""
    assert {"error": {"message": "no", "type": kind, "param": error.param, "code": code}} == json.loads(
        DIALECT.write_error(error)
    )


def test_an_error_of_another_dialect_is_written_anew() -> None:
    """A provider's body in another dialect is not passed on, but its meaning is."""
    error = DIALECT.read_error(429, {}, body(message="no"))
    assert isinstance(error, UpstreamRefused) and error.upstream is not None
    foreign = UpstreamRefused(
        "no", upstream=type(error.upstream)(429, b'{"type":"error"}', "anthropic.messages"), kind="rate_limited"
    )
    assert "rate_limit_exceeded" == json.loads(DIALECT.write_error(foreign))["error"]["code"]


@pytest.mark.parametrize("key", [
    "sk-ant-api03-abcdefghijklmno", "sk-ant-oat01-abcdefghijklmno", "sk-ant-ort01-abcdefghijklmno", "sk-or-v1-abcdefghijklmno",
    "AIzaSyabcdefghijklmnop", "AQ.Ab8RN6Jabcdefghijkl", "ya29.a0AfB_abcdefghijkl", "gho_abcdefghijklmnop", "ghp_abcdefghijklmnop",
    "xai-abcdefghijklmnop", "gsk_abcdefghijklmnop", "nvapi-abcdefghijklmnop", "ABSKabcdefghijklmnop",
    "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhbm4ifQ.c2lnbmF0dXJl",
])  # fmt: skip
def test_no_vendors_key_is_repeated(key: str) -> None:
    """Whatever a provider repeats of what it was shown."""
    error = DIALECT.read_error(401, {}, body(message=f"The key {key} is not known."))
    assert "The key [redacted] is not known." == error.message
