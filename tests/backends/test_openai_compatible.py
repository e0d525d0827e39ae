from __future__ import annotations

import re
from typing import Any

import pytest
from yarl import URL

from llmgw import listing
from llmgw.config import load
from llmgw.errors import ConfigError, Misconfigured
from llmgw.gateway import Gateway
from llmgw.model import ModelInfo, Request
from llmgw.secret import Secret
from llmgw.stages import Target
from llmgw_openai_compatible import Compatible, OpenAICompatible, Preset, presets
from tests.toys import Toybox

TARGET = Target("groq", "m")


# ---- presets ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "preset"), presets().items())
def test_a_preset(name: str, preset: Preset) -> None:
    """Its name is a word, its URL goes over TLS or stays on this machine, its variables are variables."""
    url = URL(re.sub(r"\$\{[A-Z][A-Z0-9_]*\}", "x", preset.base_url))

    assert re.fullmatch(r"[a-z][a-z0-9-]*", name)
    assert url.scheme == "https" or (url.scheme == "http" and url.host == "localhost")
    assert not url.query_string and not preset.base_url.endswith(("/", "/chat/completions"))
    assert all(re.fullmatch(r"[A-Z][A-Z0-9_]*", one) for one in preset.key)
    assert preset.key or not preset.needs_key
    assert preset.title


def test_presets_are_unique() -> None:
    """No two are of one URL or one title; no key switches two on."""
    known = presets().values()
    keys = [one for preset in known if preset.needs_key for one in preset.key]

    assert len(known) == len({one.base_url for one in known}) == len({one.title for one in known})
    assert len(keys) == len(set(keys))


# ---- which providers ----------------------------------------------------------------------------


def made(toybox: Toybox, env: dict[str, str] | None = None, **options: Any) -> list[Compatible]:
    """The back-ends that these options give."""
    gateway = toybox.gateway(env=env)
    found = OpenAICompatible(**options).backends(gateway)
    return [one for one in found or () if isinstance(one, Compatible)]


def test_the_environment_switches_on(toybox: Toybox) -> None:
    """Without options: each hosted provider whose key is set, by its name."""
    found = made(toybox, {"GROQ_API_KEY": "g", "MISTRAL_API_KEY": "m", "DEEPSEEK_API_KEY": "", "VLLM_API_KEY": "v"})

    assert ["groq", "mistral"] == [one.name for one in found]
    assert ["https://api.groq.com/openai/v1", {"authorization": "Bearer g"}] == [found[0].base_url, found[0].headers(TARGET)]


def test_nothing_is_on_by_half(toybox: Toybox) -> None:
    """A key that is there for something else does not keep the gateway from starting."""
    assert [] == made(toybox, {"CLOUDFLARE_API_KEY": "c"})
    [one] = made(toybox, {"CLOUDFLARE_API_KEY": "c", "CLOUDFLARE_ACCOUNT_ID": "a1"})
    assert "https://api.cloudflare.com/client/v4/accounts/a1/ai/v1" == one.base_url


@pytest.mark.parametrize("options", [{"name": "groq"}, {"name": "mine", "preset": "groq"}])
def test_a_preset_by_name(toybox: Toybox, options: dict[str, str]) -> None:
    """The id, or the option, names it."""
    [one] = made(toybox, {"GROQ_API_KEY": "g"}, **options)

    assert (options["name"], "https://api.groq.com/openai/v1", "key from GROQ_API_KEY") == (
        one.name,
        one.base_url,
        one.credential_state,
    )


def test_a_preset_that_is_misspelt(toybox: Toybox) -> None:
    """The nearest is named; where none is near, all are."""
    with pytest.raises(ConfigError, match=r"there is no preset 'gorq' @ backends.x.preset; did you mean 'groq'"):
        made(toybox, name="x", preset="gorq")
    with pytest.raises(ConfigError, match="there are: ollama, "):
        made(toybox, name="x", preset="#")


def test_a_url_that_lacks_its_variable(toybox: Toybox) -> None:
    """Where it was asked for by name, it is a mistake."""
    with pytest.raises(
        ConfigError, match=r"CLOUDFLARE_ACCOUNT_ID is not set, and the URL of 'cloudflare' needs it @ backends.cloudflare"
    ):
        made(toybox, name="cloudflare")


def test_a_provider_of_ones_own(toybox: Toybox) -> None:
    """A base URL is all it takes; it is asked for no key that nobody has."""
    [one] = made(toybox, name="mine", base_url="http://localhost:9/v1", headers={"x-team": "a"})

    assert ("http://localhost:9/v1", {"x-team": "a"}, "needs no key") == (one.base_url, one.headers(TARGET), one.credential_state)


def test_a_preset_elsewhere(toybox: Toybox) -> None:
    """A proxy before a provider gets the key if there is one, and need not."""
    [with_key] = made(toybox, {"GROQ_API_KEY": "g"}, name="groq", base_url="http://localhost:9")
    [without] = made(toybox, name="groq", base_url="http://localhost:9")

    assert ({"authorization": "Bearer g"}, {}) == (with_key.headers(TARGET), without.headers(TARGET))


@pytest.mark.parametrize("variable", ["LM_API_TOKEN", "LMSTUDIO_API_KEY"])
def test_the_first_variable_that_is_set(toybox: Toybox, variable: str) -> None:
    """Of several that may hold the key."""
    [one] = made(toybox, {variable: "k"}, name="lmstudio")

    assert f"key from {variable}" == one.credential_state


# ---- one of them --------------------------------------------------------------------------------


def test_a_key_that_is_needed(toybox: Toybox) -> None:
    """What would be refused over there is told here."""
    [one] = made(toybox, name="groq")

    assert "no key: GROQ_API_KEY is not set" == one.credential_state
    with pytest.raises(Misconfigured, match="GROQ_API_KEY is not set"):
        one.headers(TARGET)


def test_a_key_that_is_not_needed(toybox: Toybox) -> None:
    """A server of one's own is asked without."""
    [one] = made(toybox, name="vllm")

    assert ("no key", {}) == (one.credential_state, one.headers(TARGET))


@pytest.mark.parametrize("url", ["http://h/v1", "http://h/v1/", "http://h/v1/chat/completions"])
def test_the_url_may_name_the_path(url: str) -> None:
    """As many vendors' manuals have it."""
    one = Compatible(name="x", base_url=url)

    assert "http://h/v1/chat/completions" == one.url(TARGET, Request(dialect="toy", model="m"))


async def test_models_of_ones_own(toybox: Toybox) -> None:
    """What the deployment lists goes before the provider's list, and asks nobody."""
    [one] = made(toybox, name="mine", base_url="http://localhost:9", models=["a", "b"])

    assert [ModelInfo("a", owned_by="mine"), ModelInfo("b", owned_by="mine")] == await one.models(toybox.gateway())


def test_in_a_deployment(toybox: Toybox) -> None:
    """The id in the YAML is the id of the back-end, and a key is named, not written."""
    file = toybox.folder / "llmgw.yaml"
    mine = "{type: openai-compatible, base_url: 'http://localhost:9', api_key: 'env:MINE'}"
    file.write_text(f"backends: {{mine: {mine}, groq: {{type: openai-compatible}}}}")
    gateway = Gateway.build(load(file, {"MINE": "k"}))

    assert ["mine", "groq"] == list(gateway.backends)
    made_of_it = gateway.backends["mine"]
    assert isinstance(made_of_it, Compatible) and Secret("MINE", "k") == made_of_it.api_key


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"name": "groq"}, []),
        ({"name": "groq", "headers": {"x-a": "b\nc"}}, ["'x-a'"]),
        ({"name": "x", "base_url": "http://h/v1?key=1"}, ["query"]),
        ({"name": "x", "base_url": "http://h", "api_key": Secret("K", "k-1\x00")}, ["'authorization'"]),
    ],
)
def test_what_will_not_work(toybox: Toybox, options: dict[str, Any], expected: list[str]) -> None:
    """A URL or a header that cannot be is told before anything is sent, and no key with it; a key that is missing is not."""
    [one] = made(toybox, **options)
    told = list(one.problems())

    assert len(expected) == len(told)
    assert all(word in said and "k-1" not in said for word, said in zip(expected, told, strict=True))


@pytest.mark.parametrize("name", presets())
def test_presets_can_be_asked(toybox: Toybox, name: str) -> None:
    """No preset has a problem of its own."""
    [one] = made(toybox, {"CLOUDFLARE_ACCOUNT_ID": "a"}, name=name)

    assert [] == list(one.problems())


def test_presets_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    """``llmgw plugins openai-compatible`` has each, with its URL and the variable of its key."""
    assert 0 == listing.run("openai-compatible", None, {})
    lines = capsys.readouterr().out.partition("\nAlso:\n")[2].splitlines()

    assert ["presets:", *presets()] == [line.split()[0] for line in lines]
    assert "    groq           Groq: https://api.groq.com/openai/v1, GROQ_API_KEY" in lines
    assert "    ollama         Ollama: http://localhost:11434/v1, no key" in lines
