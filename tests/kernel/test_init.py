from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from attrs import define

from llmgw.config import load
from llmgw.gateway import Gateway
from llmgw.init import configuration_of, configuration_text
from llmgw.stages import Backend
from tests.toys import Player, Toybox, filtering, plugin, serving

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

    assert "\nplugins:\n  # - auth-key   # off: LLM_INTERACTIVE_PROXY_API_KEY is not set\n" in text
    assert "auth-key" not in str(yaml.safe_load(text))


def test_each_section_by_itself(toybox: Toybox) -> None:
    """What is on and what is off stand in their own section, and a section with neither is not there."""

    def sits_out(self: object, config: object) -> str:
        return "no time"

    def backends(gateway: Gateway) -> list[Backend]:
        return []

    idle = {"sits_out": sits_out}
    on, off = filtering(None)[0], define(eq=False)(type("Off", (filtering(None)[0],), {"__doc__": "Off.", **idle}))
    lone = define(eq=False)(type("Lone", (plugin(backends=backends),), {"__doc__": "Lone.", **idle}))
    config = toybox.config(on, off, lone, serving(Player()))
    names = {item.section: [one.name for one in config.items if one.section == item.section] for item in config.items}
    text = configuration_of(Gateway.build(config))

    first, second = names["filters"]
    assert f"\nfilters:\n  - {first}\n  # - {second}   # off: no time\n" in text
    assert f"\n  # {names['backends'][0]}: {{type: {names['backends'][0]}}}   # off: no time\n" in text
    assert {"proxy", "auth", "default_backend", "backends", "frontends", "filters"} == set(yaml.safe_load(text))
