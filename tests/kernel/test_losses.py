from __future__ import annotations

from typing import Any

import pytest

from llmgw.config import load
from llmgw.errors import ConfigError, Unsupported
from llmgw.losses import DEFAULTS, LossPolicy
from llmgw.model import Loss
from llmgw_testing import Provider, run_gateway, whole
from tests.toys import TOY, AbroadHttp, Toybox, serving

# ---- what may become of a feature ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("worst", "feature", "expected"),
    [
        ({}, "top_k", "drop"),
        ({}, "n", "approximate"),
        ({}, "input.audio", "emulate"),
        ({}, "input.audio.wav", "emulate"),
        ({}, "inputs", "drop"),
        ({}, "tools.mcp", "emulate"),
        ({}, "tools", "drop"),
        ({"input": "drop"}, "input.audio", "drop"),
        ({"input.audio": "drop"}, "input.audio", "drop"),
        ({"input.audio": "drop"}, "input.image", "emulate"),
        ({"input": "reject", "input.audio": "drop"}, "input.audio.wav", "drop"),
        ({"top_k": "reject"}, "n", "approximate"),
        ({"*": "reject"}, "top_k", "reject"),
        ({"*": "drop"}, "n", "drop"),
        ({"*": "reject", "n": "drop"}, "n", "drop"),
    ],
)
def test_the_nearest_name_decides(worst: Any, feature: str, expected: str) -> None:
    """The feature's own name, then the one before its last dot and so on, then ``*``; what is not said is as by default."""
    assert expected == LossPolicy(worst).of(feature)


def test_the_defaults_say_something_of_everything() -> None:
    """There is a rule for whatever a dialect may lose, and it can be set in the very words."""
    assert "*" in DEFAULTS
    assert LossPolicy(DEFAULTS) == LossPolicy(dict(DEFAULTS))


@pytest.mark.parametrize("worst", ["reject", "emulate", "approximate", "drop"])
@pytest.mark.parametrize("action", ["emulated", "approximated", "dropped"])
def test_nothing_worse_than_allowed(worst: Any, action: Any) -> None:
    """A loss passes exactly where it is at most as bad as the policy allows."""
    order = ["reject", "emulated", "approximated", "dropped"]
    allowed = order.index(action) <= ["reject", "emulate", "approximate", "drop"].index(worst)
    judged = LossPolicy({"seed": worst}).judged([Loss("seed", "seed", action)], TOY, "acme")

    if allowed:
        assert [Loss("my_seed", "seed", action)] == list(judged)
    else:
        with pytest.raises(Unsupported):
            list(judged)


def test_a_refusal_says_what_to_do() -> None:
    """It names the client's own path and value, the back-end, and the three ways on."""
    with pytest.raises(Unsupported) as caught:
        list(LossPolicy({"n": "emulate"}).judged([Loss("n", "n", "approximated", "4", "1")], TOY, "acme"))

    assert "my_n" == caught.value.param
    assert (
        "'my_n'=4 cannot be served by the back-end 'acme', which would have to leave it out (n: approximated). "
        "Leave it out yourself, choose another model, or allow it: losses: {n: approximate} in the configuration."
    ) == caught.value.message


# ---- in the configuration -----------------------------------------------------------------------


def configured(toybox: Toybox, text: str) -> Any:
    """A configuration with this text in it."""
    file = toybox.folder / "losses.yaml"
    file.write_text(text)
    return load(file, {})


def test_it_stands_in_the_configuration(toybox: Toybox) -> None:
    """By feature; without it the defaults hold."""
    assert (
        LossPolicy({"n": "drop", "input.audio": "reject"}) == configured(toybox, "losses: {n: drop, input.audio: reject}").losses
    )
    assert LossPolicy() == configured(toybox, "losses:").losses


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("losses: {n: dorp}", "'reject', 'emulate', 'approximate', 'drop', found 'dorp' @ losses.n; did you mean 'drop'?"),
        ("losses: {n: true}", "found true @ losses.n"),
        ("losses: [n]", "invalid value for type, expected a mapping, found a list @ losses"),
        ("losses: drop", "invalid value for type, expected a mapping, found 'drop' @ losses"),
        ("losses: {5: drop}", "invalid key, expected text, found 5 @ losses; put it in quotes"),
    ],
)
def test_mistakes_are_told_with_their_place(toybox: Toybox, text: str, message: str) -> None:
    """A word that is none, and what is no mapping."""
    with pytest.raises(ConfigError) as caught:
        configured(toybox, text)

    assert caught.value.problems[0].endswith(message)


# ---- in an exchange -----------------------------------------------------------------------------


async def test_a_loss_within_the_policy_is_told(toybox: Toybox, provider: Provider) -> None:
    """The answer comes, and its header names what was lost on the way, each once."""
    provider.answers(whole({"said": "Hello"}))
    asked = {"model": "m", "say": "Hi", "lost": {"seed": "dropped", "input.image": "emulated"}}
    async with (
        run_gateway(toybox.deployment(serving(AbroadHttp(base_url=provider.base_url)))) as running,
        running.http.post(running.url + "/toy", json=asked) as response,
    ):
        assert (200, {"said": "Hello"}) == (response.status, await response.json())
        assert "seed;input.image" == response.headers["x-llmgw-losses"]


async def test_a_loss_beyond_the_policy_is_refused(toybox: Toybox, provider: Provider) -> None:
    """With 400 in the client's dialect, before the provider has heard of it."""
    asked = {"model": "m", "say": "Hi", "lost": {"seed": "dropped"}}
    config = toybox.deployment(serving(AbroadHttp(base_url=provider.base_url)), losses={"seed": "approximate"})
    async with run_gateway(config) as running:
        status, body = await running.post(asked, "/toy")

    assert (400, "unsupported_feature", []) == (status, body["kind"], provider.seen)
    assert body["error"].startswith("'my_seed' cannot be served by the back-end 'toy'")
