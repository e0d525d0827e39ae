"""Lists of models, and headers."""

from __future__ import annotations

import json

import pytest

from llmgw.errors import UpstreamBroken
from llmgw.model import ModelInfo
from llmgw_dialects.openai_chat import DIALECT


@pytest.mark.parametrize("data", [
    b'{"object": "list", "data": [{"id": "a", "created": 1, "owned_by": "x"}, {"id": "b"}, 5, {}]}',
    b'[{"id": "a", "created": 1, "organization": "x"}, {"id": "b"}]',
    b'{"models": [{"name": "a", "created": 1, "owned_by": "x"}, "b"]}',
])  # fmt: skip
def test_lists_are_read_in_any_wrapping(data: bytes) -> None:
    """A bare list, ``data`` and ``models`` are all lists of models; entries that are none are left out."""
    assert [("a", "x", 1), ("b", "", None)] == [(one.id, one.owned_by, one.created) for one in DIALECT.read_models(data)]


@pytest.mark.parametrize(
    ("entry", "context", "output"),
    [
        ({"context_length": 9, "top_provider": {"context_length": 8, "max_completion_tokens": 3}}, 9, 3),  # OpenRouter
        ({"context_window": 9, "max_completion_tokens": 3}, 9, 3),  # Groq
        ({"max_context_length": 9}, 9, None),  # Mistral
        ({"max_model_len": 9}, 9, None),  # vLLM
        ({"capabilities": {"limits": {"max_context_window_tokens": 9, "max_output_tokens": 3}}}, 9, 3),  # GitHub Copilot
        (
            {"context_length": None, "context_window": "9", "max_model_len": True, "capabilities": [], "top_provider": 1},
            None,
            None,
        ),
        ({"context_length": 0}, None, None),
    ],
)
def test_sizes_are_read_wherever_they_stand(entry: dict[str, object], context: int | None, output: int | None) -> None:
    """Every vendor calls the window something else; what is no number of tokens is none."""
    (found,) = DIALECT.read_models(json.dumps([{"id": "a", **entry}]).encode())
    assert (context, output) == (found.context, found.max_output)


@pytest.mark.parametrize("data", [b"", b"<html>", b"{}", b'{"data": {}}'])
def test_what_is_no_list_is_an_error(data: bytes) -> None:
    """Anything else is told for what it is."""
    with pytest.raises(UpstreamBroken):
        DIALECT.read_models(data)


def test_lists_are_written_as_openai_writes_them() -> None:
    """A model has id, object, created and owned_by, alone and in a list."""
    entry = {"id": "a", "object": "model", "created": 1, "owned_by": "x"}
    info = ModelInfo("a", owned_by="x", created=1)
    assert {"object": "list", "data": [entry]} == json.loads(DIALECT.write_models([info]))
    assert entry == json.loads(DIALECT.write_model(info))


def test_headers_that_pass() -> None:
    """Headers that an OpenAI SDK reads pass; those of the connection and of the provider's proxies do not."""
    passing = ["x-request-id", "x-ratelimit-limit-tokens", "openai-processing-ms", "openai-version", "openai-organization",
               "openai-model", "retry-after", "retry-after-ms", "x-should-retry"]  # fmt: skip
    assert passing == [name for name in [*passing, "cf-ray", "set-cookie", "content-length", "server"] if DIALECT.passes(name)]


def test_the_example_is_a_request() -> None:
    """The example for people is a request that this dialect takes."""
    assert "m/x" == json.loads(DIALECT.example("m/x"))["model"]
    assert "'" not in DIALECT.example("m")
