"""Profiles: what the table says of models, and what a deployment may say instead."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml
from attrs import fields

from llmgw.errors import ConfigError
from llmgw.model import Profile, Sampling
from llmgw_dialects.profiles import profile, with_overrides

DIALECTS = ("openai.chat", "openai.responses", "anthropic.messages", "google.gemini", "google.codeassist")
MODELS = (
    "gpt-4o", "gpt-4.1-mini", "o3-mini", "gpt-5", "gpt-5.4-mini", "gpt-6-sol", "gpt-5.2-chat-latest", "gpt-oss-120b",
    "deepseek-v4-pro",
    "claude-3-5-haiku-20241022", "claude-sonnet-4-20250514", "anthropic/claude-opus-4.5", "claude-opus-4-6", "claude-fable-5-1",
    "us.anthropic.claude-haiku-5-5-v1:0", "gemini-1.5-pro", "models/gemini-2.5-flash", "gemini-3.8-flash", "fp-anything",
)  # fmt: skip


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("model", MODELS)
def test_profiles_make_sense(dialect: str, model: str) -> None:
    """Whatever the table says of a model hangs together."""
    known = profile(dialect, model)
    assert known.sampling <= {one.name for one in fields(Sampling)}
    assert known.url_inputs <= known.inputs <= {"image", "document", "audio", "video"}
    assert known.temperature[0] < known.temperature[1]
    assert re.fullmatch(known.tool_name, "a_name") and re.fullmatch(known.call_id, "call_1")
    assert known.thinking == "none" or known.thinking == "budget" or known.efforts
    assert known.thinking != "budget" or (known.budget is not None and known.budget[0] < known.budget[1])
    assert known.default_output is None or known.max_output is None or known.default_output <= known.max_output
    assert "none" not in known.efforts or known.can_disable or known.thinking == "none"
    assert known.stop_max in (None, 0) or "stop" in known.sampling


def test_profiles_are_kept() -> None:
    """A profile is put together once."""
    assert profile("openai.chat", "gpt-5") is profile("openai.chat", "gpt-5")


@pytest.mark.parametrize(("dialect", "model", "expected"), [
    ("openai.chat", "gpt-4.1", {"thinking": "none", "stop_max": 4}),
    ("openai.chat", "o3", {"can_disable": False, "stop_max": 0, "efforts": ("low", "medium", "high")}),
    ("openai.chat", "openai/gpt-5.6-sol", {"stop_max": 0, "marks_max": 4, "custom_tools": True}),
    ("openai.responses", "gpt-5.4", {"min_output": 16, "custom_tools": True, "namespaces": True, "stop_max": 0, "n_max": 1}),
    ("anthropic.messages", "fp-anthropic", {"temperature": (0.0, 1.0), "one_sampler": True, "object_arguments": True,
     "user_first": True, "empty_text": False, "marks_max": 4, "automatic_marks": True, "default_output": 32000,
     "thinking": "adaptive", "stop_blank": False}),
    ("anthropic.messages", "claude-3-haiku-20240307", {"max_output": 4096, "default_output": 4096, "thinking": "none"}),
    ("anthropic.messages", "claude-sonnet-4-5", {"thinking": "budget", "prefill": True, "json_schema": True}),
    ("anthropic.messages", "claude-opus-4-20250514", {"thinking": "budget", "max_output": 32000, "json_schema": False}),
    ("anthropic.messages", "claude-opus-4-7", {"sampling": frozenset({"max_output", "stop"}), "prefill": False}),
    ("anthropic.messages", "claude-mythos-5", {"forced_choice": "never"}),
    ("google.gemini", "gemini-2.5-pro", {"budget": (128, 32768), "can_disable": False, "bypass": None, "json_with_tools": False}),
    ("google.gemini", "gemini-2.5-flash", {"budget": (0, 24576), "can_disable": True}),
    ("google.gemini", "gemini-3-pro", {"thinking": "level", "efforts": ("low", "high"), "json_with_tools": True,
     "bypass": "skip_thought_signature_validator", "parallel_switch": False, "schema": "subset", "stop_max": 5}),
    ("google.codeassist", "gemini-2.5-pro", {"thinking": "budget"}),
    ("acme.own", "m", {"sampling": Profile().sampling}),
])  # fmt: skip
def test_what_is_known(dialect: str, model: str, expected: dict[str, Any]) -> None:
    """The facts on which requests are refused stand in the table."""
    known = profile(dialect, model)
    assert expected == {name: getattr(known, name) for name in expected}


def test_overrides_come_from_yaml() -> None:
    """A deployment writes the fields as YAML has them: lists are sets or pairs as the field wants."""
    told = yaml.safe_load(
        "{temperature: [0, 1], stop_max: null, inputs: [image], efforts: [low], prefill: yes, thinking: budget}"
    )
    known = with_overrides(profile("openai.chat", "m"), told)
    assert ((0.0, 1.0), None, frozenset({"image"}), ("low",), True, "budget") == (
        known.temperature, known.stop_max, known.inputs, known.efforts, known.prefill, known.thinking,
    )  # fmt: skip
    assert known is with_overrides(known, {})


@pytest.mark.parametrize(("changes", "said"), [
    ({"temprature": [0, 1]}, "no field 'temprature'; did you mean 'temperature'?"),
    ({"zzz": 1}, "no field 'zzz'$"),
    ({"stop_max": "4"}, "'stop_max' must be a whole number, not '4'"),
    ({"stop_max": True}, "'stop_max' must be a whole number"),
    ({"prefill": 1}, "'prefill' must be true or false"),
    ({"temperature": [0]}, "'temperature' must be a list of 2"),
    ({"temperature": ["a", 1]}, "'temperature' must be a list of numbers"),
    ({"inputs": "image"}, "'inputs' must be a list"),
    ({"efforts": [1]}, "'efforts' must be a list of texts"),
    ({"thinking": "hard"}, "'thinking' must be one of effort, adaptive, budget, level, none"),
    ({"tool_name": None}, "'tool_name' must be a text"),
])  # fmt: skip
def test_mistakes_are_named(changes: dict[str, Any], said: str) -> None:
    """An error names the field and, where it is misspelt, the nearest."""
    with pytest.raises(ConfigError, match=said):
        with_overrides(Profile(), changes)


def test_all_mistakes_are_told_at_once() -> None:
    """Who writes a configuration need not find them one by one."""
    with pytest.raises(ConfigError) as caught:
        with_overrides(Profile(), {"a": 1, "stop_max": "x"})
    assert 2 == len(caught.value.problems)
