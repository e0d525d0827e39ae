"""Errors of Responses, as clients see them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from responses import Stream, read, relay

from llmgw.errors import (
    GatewayError,
    InvalidField,
    ModelNotFound,
    TooMany,
    Unauthorized,
    Unsupported,
    UpstreamRefused,
    UpstreamReply,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from llmgw.events import Error, Raw, ResponseEnd
from llmgw_dialects.openai_responses import DIALECT

ANTHROPIC: dict[str, Any] = {"dialect": "anthropic.messages", "body": b"{}", "status": 529}


@pytest.mark.parametrize(("error", "status", "code"), [
    (Unauthorized("no"), 401, "invalid_api_key"), (ModelNotFound("no"), 404, "model_not_found"),
    (TooMany("no"), 429, "rate_limit_exceeded"),
    (InvalidField("no", param="input[0]"), 422, None), (Unsupported("no"), 400, "unsupported_feature"),
    (UpstreamUnreachable("no"), 503, "upstream_error"), (UpstreamTimeout("no"), 504, "timeout"),
    (UpstreamRefused("no", upstream=UpstreamReply(**ANTHROPIC), kind="overloaded"), 503, "server_is_overloaded"),
    (UpstreamRefused("no", upstream=UpstreamReply(**ANTHROPIC), kind="billing"), 429, "insufficient_quota"),
    (UpstreamRefused("no", upstream=UpstreamReply(**ANTHROPIC), kind="context_length"), 400, "context_length_exceeded"),
])  # fmt: skip
def test_errors_have_openais_status_and_code(error: GatewayError, status: int, code: str | None) -> None:
    """An error of any origin has the status and code that OpenAI has for its kind."""
    told = json.loads(DIALECT.write_error(error))["error"]
    assert (status, code, "no", error.param) == (DIALECT.error_status(error), told["code"], told["message"], told["param"])


def test_when_to_try_again_is_said_in_words() -> None:
    """Codex reads it from the message; a message that says it already is left alone."""
    told = json.loads(DIALECT.write_error(TooMany("Slow down.", retry_after=2.3)))["error"]["message"]
    assert "Slow down. Please try again in 3s." == told
    once = json.loads(DIALECT.write_error(TooMany("Please try again in 28ms.", retry_after=0.028)))["error"]["message"]
    assert "Please try again in 28ms." == once


def test_an_error_that_came_in_a_stream_becomes_a_body() -> None:
    """A frame that failed before anything was said is answered with an error body and OpenAI's status, not with the frame."""
    told = (
        Stream()
        .created()
        .add("failed", response={"id": "resp_1", "error": {"code": "rate_limit_exceeded", "message": "try again in 4s"}})
    )
    for events in (read(told.data), relay(told.data)):
        (error,) = (event.error for event in events if isinstance(event, Error))
        written = json.loads(DIALECT.write_error(error))["error"]
        assert (429, "rate_limit_exceeded", "try again in 4s") == (
            DIALECT.error_status(error),
            written["code"],
            written["message"],
        )
        assert 4.0 == error.retry_after


def test_a_providers_own_body_is_passed_on() -> None:
    """A body of this dialect goes to the client as it came."""
    data = b'{"error": {"message": "m", "type": "invalid_request_error", "code": "x", "param": null}, "own": 1}'
    error = DIALECT.read_error(400, {}, data)
    assert data == DIALECT.write_error(error) and 400 == DIALECT.error_status(error)


@pytest.mark.parametrize(("data", "kind"), [
    (b'{"detail": "Could not parse your authentication token."}', "authentication"),
    (b'{"code": "invalid-argument", "error": "Incorrect API key provided."}', "authentication"),
])  # fmt: skip
def test_other_shapes_are_read(data: bytes, kind: str) -> None:
    """Codex's back-end and xAI have errors of their own."""
    error = DIALECT.read_error(401, {}, data)
    assert kind == error.kind and error.message


def test_a_relay_tells_an_error_in_the_middle() -> None:
    """Frames of a failure pass as they are, and the end says that it failed."""
    told = (
        Stream()
        .created()
        .text(0, "a")
        .add("failed", response={"id": "resp_1", "error": {"code": "server_error", "message": "m"}})
    )
    events = relay(*told.frames)
    assert isinstance(events[-1], Error)
    passed = b"".join(event.frame.data for event in events if isinstance(event, Raw) and event.frame is not None)
    assert told.data == passed


def test_a_relay_ends_with_the_whole_response() -> None:
    """The frame with the whole response ends the relay, by its name or by its type alone."""
    told = Stream().created().text(0, "a response.completed").end()
    for data in (told.data, b"".join(frame.partition(b"\n")[2] for frame in told.frames)):
        reader = DIALECT.relay(stream=True)
        pieces = [piece + b"\n\n" for piece in data.split(b"\n\n")[:-1]]
        for piece in pieces[:-1]:
            list(reader.feed(piece))
            assert not reader.ended
        list(reader.feed(pieces[-1]))
        assert reader.ended and isinstance(list(reader.close())[-1], ResponseEnd)


def test_a_relay_that_breaks_off_is_an_error() -> None:
    """Without the whole response at its end a stream was truncated."""
    assert isinstance(relay(*Stream().created().text(0, "a").frames)[-1], Error)
    silent = relay(Stream().created().data, b"data: [DONE]\n\n")
    assert isinstance(silent[-1], Error)


def test_counts_are_read_and_written() -> None:
    """The number of tokens is that of the body; what is none is broken."""
    assert b'{"object":"response.input_tokens","input_tokens":7}' == DIALECT.write_count(7)
    assert 7 == DIALECT.read_count(DIALECT.write_count(7))
    with pytest.raises(GatewayError, match="number of input tokens"):
        DIALECT.read_count(b'{"tokens": 7}')


@pytest.mark.parametrize(("name", "passes"), [
    ("x-codex-primary-used-percent", True), ("x-ratelimit-reset-tokens", True), ("x-request-id", True), ("openai-model", True),
    ("set-cookie", False), ("content-length", False),
])  # fmt: skip
def test_headers_that_mean_something_pass(name: str, passes: bool) -> None:
    """Rate limits, ids and what Codex shows pass on."""
    assert passes == DIALECT.passes(name)
