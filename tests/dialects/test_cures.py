from __future__ import annotations

import json

import pytest

from llmgw_dialects.cures import cure
from llmgw_dialects.failures import read_error
from llmgw_dialects.openai_chat import DIALECT


@pytest.mark.parametrize(
    ("message", "code", "param", "path"),
    [
        # OpenAI
        ("Unsupported parameter: 'top_p' is not supported with this model.", "unsupported_parameter", "top_p", "top_p"),
        ("Unsupported value: 'top_p' does not support 0.2 with this model.", "unsupported_value", "top_p", "top_p"),
        ("Unknown parameter: 'reasoning.effort'.", "unknown_parameter", "reasoning.effort", "reasoning.effort"),
        ("Unrecognized request argument supplied: top_k", "", None, "top_k"),
        ("Unrecognized request arguments supplied: top_k", "", None, "top_k"),
        ("Unknown parameter: 'safety_identifier'.", "", None, "safety_identifier"),
        ("Unknown parameter: store.", "", None, "store"),
        # Anthropic
        ("context_management: Extra inputs are not permitted", "invalid_request_error", None, "context_management"),
        ("output_config.effort: Extra inputs are not permitted", "", None, "output_config.effort"),
        ("`temperature` is deprecated for this model.", "", None, "temperature"),
        ("'top_p' and 'top_k' are not supported", "", None, "top_k"),
        # Google
        ('Invalid JSON payload received. Unknown name "seed" at \'generation_config\': Cannot find field.', "", None,
         "generationConfig.seed"),
        ('Unknown name "thinking_budget" at \'generation_config.thinking_config\': Cannot find field.', "", None,
         "generationConfig.thinkingConfig.thinkingBudget"),
        ('Unknown name "labels": Cannot find field.', "", None, "labels"),
    ],
)  # fmt: skip
def test_a_field_that_is_not_known(message: str, code: str, param: str | None, path: str) -> None:
    """In whatever words a provider says so, the field is found; its path is that of the provider's own body."""
    assert ("field", path) == cure(message, code, param)


@pytest.mark.parametrize(
    ("message", "code", "param"),
    [
        ("Unsupported parameter: 'max_tokens' is not supported with this model.", "unsupported_parameter", "max_tokens"),
        ("messages: Extra inputs are not permitted", "", None),
        ("tools.strict: Extra inputs are not permitted", "", None),
        ('Unknown name "system_instruction": Cannot find field.', "", None),
        ("`model` is not supported", "", None),
        ("`stream` is not supported", "", None),
        # a place within a list cannot be left out by its path
        ("Unknown parameter: 'input[0].id'.", "unknown_parameter", "input[0].id"),
        ("Unknown parameter: 'metadata[0]'.", "", None),
        ("Unknown parameter: 'text.formats[0].x'.", "", None),
        ("messages.0.cache_control: Extra inputs are not permitted", "", None),
        ("Unknown name \"strict\" at 'tools[0].function_declarations[0]': Cannot find field.", "", None),
        # what is wrong is its value, not that it is there
        ("temperature: Input should be less than or equal to 1", "", "temperature"),
        ("Invalid value: 'low'.", "invalid_value", "reasoning.effort"),
        ("The model `gpt-9` does not exist", "model_not_found", None),
        ("", "", None),
    ],
)
def test_what_cannot_be_left_out(message: str, code: str, param: str | None) -> None:
    """What a request is about stays in it, and what is named as at fault stays named."""
    assert (None, param) == cure(message, code, param)


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("messages.1.content.0: Invalid `signature` in `thinking` block", ""),
        ("Invalid signature in thinking block", ""),
        ("Corrupted thought signature.", ""),
        ("Thought signature is not valid: thought_signature", ""),
        ("The encrypted content gAAA could not be verified.", ""),
        ("no", "invalid_encrypted_content"),
        ("Item with id 'rs_0123abc' not found.", ""),
    ],
)
def test_opaque_state_of_somebody_else(message: str, code: str) -> None:
    """Told from the words or the code, whatever field is named beside."""
    assert ("carriers", None) == cure(message, code, None)
    assert ("carriers", "input") == cure(message, code, "input")


def test_a_signature_that_is_missing() -> None:
    """Leaving out the others would not help."""
    message = "Function call `f` in the `3`. content block is missing a `thought_signature`."

    assert (None, None) == cure(message, "", None)


def refusal(status: int) -> bytes:
    """OpenAI's words for a field that a model does not take."""
    words = "Unsupported parameter: 'top_p' is not supported with this model."
    return json.dumps({"error": {"message": words, "code": "unsupported_parameter", "param": None}}).encode()


@pytest.mark.parametrize(
    ("status", "expected"),
    [(400, "field"), (422, "field"), (404, "field"), (401, None), (403, None), (429, None), (500, None), (503, None)],
)
def test_only_a_refusal_of_what_was_said_is_cured(status: int, expected: str | None) -> None:
    """A provider that is busy or broken, or knows the caller not, would say no without the field as well."""
    error = DIALECT.read_error(status, {}, refusal(status))

    assert expected == error.cure
    assert ("top_p" if expected else None) == error.param


def test_what_the_client_hears_stays() -> None:
    """The words and the code are the provider's own."""
    error = read_error("openai.chat", 400, {}, refusal(400))

    assert "Unsupported parameter: 'top_p' is not supported with this model." == error.message
    assert "unsupported_parameter" == error.code
    assert error.upstream is not None and refusal(400) == error.upstream.body
