from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from llmgw.config import load
from llmgw.gateway import Gateway
from llmgw.init import configuration_of, configuration_text

ENVIRONMENTS = [{}, {"OPENAI_API_KEY": "sk-secret"}, {"GROQ_API_KEY": "gsk-secret", "LLM_INTERACTIVE_PROXY_API_KEY": "my-secret"}]


@pytest.mark.parametrize("env", ENVIRONMENTS)
def test_the_file_changes_nothing(tmp_path: Path, env: dict[str, str]) -> None:
    """A gateway that reads it does what it would do without it."""
    file = tmp_path / "llmgw.yaml"
    file.write_text(configuration_text(env))
    without, with_it = Gateway.build(load(None, env)), Gateway.build(load(file, env))

    assert list(without.backends) == list(with_it.backends)
    assert without.default_backend == with_it.default_backend
    assert _others(without) == _others(with_it)
    assert (without.config.proxy, without.config.auth) == (with_it.config.proxy, with_it.config.auth)
    assert without.endpoints == with_it.endpoints


def _others(gateway: Gateway) -> list[str]:
    """What is on beside back-ends, of which one plugin may bring many or none."""
    return [item.name for item, _ in gateway.plugins if item.section != "backends"]


@pytest.mark.parametrize("env", ENVIRONMENTS)
def test_no_key_stands_in_it(env: dict[str, str]) -> None:
    """Only the names of variables do."""
    text = configuration_text(env)

    assert not any(value in text for value in env.values())
    assert ("GROQ_API_KEY" in env) == ("GROQ_API_KEY" in text)


def test_what_is_off_is_named(tmp_path: Path) -> None:
    """As a comment, with what it lacks."""
    text = configuration_of(Gateway.build(load(None, {})))

    assert "# - auth-key   # off: LLM_INTERACTIVE_PROXY_API_KEY is not set" in text
    assert "auth-key" not in str(yaml.safe_load(text))
