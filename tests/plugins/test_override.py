from __future__ import annotations

import json
from typing import Any

import pytest

from llmgw import ConfigError
from llmgw_override.rules import Overriding
from llmgw_testing import Provider, run_gateway, whole
from llmgw_testing.fixtures import GatewayMaker
from tests.plugins.naming import ENV, FRONTS, REAL, answered, asked, backends, models_in
from tests.toys import Player, Toybox, exchange, request, serving

ALICE, BOB = "alice-key-1", "bob-key-1"


def deployment(provider: Provider, *rules: dict[str, Any], dialect: str = "chat", **more: Any) -> dict[str, Any]:
    """One back-end, and these rules."""
    options = {"rules": list(rules), **more.pop("override", {})}
    return {"backends": backends(provider, dialect=dialect), "filters": [{"override": options}], "routes": ["selectors"], **more}


FORCED = {"model": "a:forced"}


async def sent(gateway: GatewayMaker, provider: Provider, name: str, *rules: dict[str, Any], **body: Any) -> Any:
    """What the provider gets for a question in Chat."""
    provider.answers(answered("chat", streamed=False))
    running = await gateway(deployment(provider, *rules))
    status, text = await asked(running, "chat", name, **body)
    assert 200 == status, text
    return provider.seen[0].json


# ---- for whom -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("match", "name", "model"),
    [
        ({}, "anything", "forced"),
        ({"model": "gpt-*"}, "gpt-5", "forced"),
        ({"model": "GPT-*"}, "gpt-5", "forced"),
        ({"model": ["o3", "gpt-*"]}, "o3", "forced"),
        ({"model": "gpt-*"}, "claude", "claude"),
        ({"frontend": "openai.chat"}, "m", "forced"),
        ({"frontend": ["google.*", "openai.*"]}, "m", "forced"),
        ({"frontend": "anthropic.messages"}, "m", "m"),
        ({"agent": "aiohttp*"}, "m", "m"),
        ({"agent": "*aiohttp/*"}, "m", "forced"),
        ({"agent": "claude-cli*"}, "m", "m"),
        ({"key": "alice"}, "m", "m"),
        ({"model": "m", "agent": "claude-cli*"}, "m", "m"),
    ],
)
async def test_who_is_meant(gateway: GatewayMaker, provider: Provider, match: Any, name: str, model: str) -> None:
    """All that a rule says must be so; of several patterns one is enough."""
    assert model == (await sent(gateway, provider, name, {"match": match, **FORCED}))["model"]


@pytest.mark.parametrize(("key", "model"), [(ALICE, "forced"), (BOB, "m")])
async def test_whose_key(gateway: GatewayMaker, provider: Provider, key: str, model: str) -> None:
    """A rule may be for one of the gateway's own keys, by its name."""
    provider.answers(answered("chat", streamed=False))
    auth = {"keys": {"alice": {"key": "env:ALICE"}, "bob": {"key": "env:BOB"}}}
    env = {"ALICE": ALICE, "BOB": BOB, "LLM_INTERACTIVE_PROXY_API_KEY": "single-key-1"}
    running = await gateway(deployment(provider, {"match": {"key": "alice"}, **FORCED}, auth=auth), env=env)
    body = {"model": "a:m", "messages": [{"role": "user", "content": "Hi"}]}
    status, _ = await running.post(body, authorization=f"Bearer {key}")

    assert (200, model) == (status, provider.seen[0].json["model"])


async def test_the_first_rule_that_matches(gateway: GatewayMaker, provider: Provider) -> None:
    """Later ones are not applied, not even what the first one leaves."""
    rules = {"match": {"model": "x"}, "set": {"top_p": 0.1}}, {"set": {"top_k": 5}}, FORCED

    told = await sent(gateway, provider, "m", *rules)

    assert ("m", 5, False) == (told["model"], told["top_k"], "top_p" in told)


@pytest.mark.parametrize("name", ["m", "x:y", "a:b|c"])
async def test_a_model_for_everybody(gateway: GatewayMaker, provider: Provider, name: str) -> None:
    """The option ``model`` alone, as a flag of the command line sets it, is for all whom no rule is for."""
    provider.answers(answered("chat", streamed=False))
    running = await gateway(deployment(provider, override=FORCED))
    await asked(running, "chat", name)

    assert "forced" == provider.seen[0].json["model"]


async def test_rules_come_before_the_model_for_everybody(gateway: GatewayMaker, provider: Provider) -> None:
    """Who has a rule keeps to it."""
    provider.answers(answered("chat", streamed=False))
    running = await gateway(deployment(provider, {"match": {"model": "m"}, "model": "a:ruled"}, override=FORCED))
    await asked(running, "chat", "m")

    assert "ruled" == provider.seen[0].json["model"]


# ---- what is made of it -------------------------------------------------------------------------


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("dialect", FRONTS)
async def test_every_client_gets_another_model(provider: Provider, dialect: str, streamed: bool) -> None:
    """The provider is asked for the one, and the client sees the other all over its reply."""
    seen: dict[str, tuple[int, set[str]]] = {}
    async with run_gateway(deployment(provider, FORCED, dialect=dialect), ENV) as running:
        for front in FRONTS:
            spoken = "chat" if dialect == "responses" != front else dialect
            provider.answers(answered(spoken, streamed=streamed))
            status, body = await asked(running, front, "gpt-x", streamed=streamed)
            seen[front] = status, models_in(body)

    assert dict.fromkeys(FRONTS, (200, {"gpt-x"})) == seen
    for one in provider.seen:
        assert "forced" in (one.json.get("model"), one.path.rpartition("/")[2].partition(":")[0])


async def test_the_real_name_may_be_shown(gateway: GatewayMaker, provider: Provider) -> None:
    """With ``show: real`` the reply is as the provider gave it, also where the name asked for is an alias."""
    provider.answers(answered("chat", streamed=False))
    config = deployment(provider, {**FORCED, "show": "real"}) | {"routes": [{"selectors": {"aliases": {"fast": "a:m"}}}]}
    running = await gateway(config)

    assert {REAL} == models_in((await asked(running, "chat", "fast"))[1])


@pytest.mark.parametrize(
    ("pattern", "model", "name", "gets"),
    [
        ("gpt-*", "a:openai/{model}", "gpt-5", "openai/gpt-5"),
        ("gpt-*-*", "a:{2}/{1}", "gpt-5-mini", "mini/5"),
        (["x", "gpt-*"], "a:{model}", "gpt-5", "gpt-5"),
        ("*", "fast", "gpt-5", "anvil"),
        ("*", "a:y|a:z", "gpt-5", "y"),
        ("*", "a:y?temperature=0.5", "gpt-5", "y"),
    ],
)
async def test_what_a_rule_gives(
    gateway: GatewayMaker, provider: Provider, pattern: Any, model: str, name: str, gets: str
) -> None:
    """Whatever a client may ask for: an alias, several, settings; with what the stars stand for."""
    provider.answers(answered("chat", streamed=False))
    config = deployment(provider, {"match": {"model": pattern}, "model": model})
    running = await gateway(config | {"routes": ["failover", {"selectors": {"aliases": {"fast": "a:anvil"}}}]})
    await asked(running, "chat", name)

    assert gets == provider.seen[0].json["model"]


@pytest.mark.parametrize("front", FRONTS)
async def test_settings_are_set_and_removed(gateway: GatewayMaker, provider: Provider, front: str) -> None:
    """In the client's dialect or another, and the name stays."""
    provider.answers(answered("chat", streamed=False))
    running = await gateway(deployment(provider, {"set": {"temperature": 0.2, "stop": ["a"]}, "remove": ["top_p", "max_tokens"]}))
    more: dict[str, Any] = {"generationConfig": {"topP": 0.5}} if front == "gemini" else {"top_p": 0.5}

    status, _ = await asked(running, front, "a:m", **more)

    told = provider.seen[0].json
    assert (200, "m", 0.2, ["a"]) == (status, told["model"], told["temperature"], told["stop"])
    assert not {"top_p"} & told.keys()


async def test_settings_alone_leave_frames_unread(toybox: Toybox) -> None:
    """Where the name stays there is nothing to look for in the reply; a rule that changes nothing opens no filter."""
    config: dict[str, Any] = {"rules": [{"match": {"model": "a"}, "set": {"top_p": 1}}, {"match": {"model": "b"}, "model": "B"}]}
    config["rules"] += [{"match": {"model": "c"}, "model": "c"}, {"match": {"model": "d"}, "model": "e", "show": "real"}]
    gateway = toybox.gateway(serving(Player()), filters=[{"override": config}])
    opened: dict[str, list[str]] = {}
    for name in "abcdx":
        one = exchange(gateway)
        one.asked = name
        opened[name] = [type(each).__name__ for each in gateway.hook.open_filter(exchange=one) if isinstance(each, Overriding)]

    assert {"a": ["Overriding"], "b": ["Renaming"], "c": [], "d": ["Overriding"], "x": []} == opened


@pytest.mark.parametrize(("more", "model"), [({"model": "a:forced"}, "forced"), ({}, "gpt-5")])
async def test_settings_in_the_name_are_kept(gateway: GatewayMaker, provider: Provider, more: Any, model: str) -> None:
    """What the client asks for behind ``?`` goes with it, but the rule has the last word."""
    rule = {"match": {"model": "gpt-5"}, "set": {"temperature": 0.2}, **more}
    told = await sent(gateway, provider, "gpt-5?temperature=1&top_p=0.5", rule)

    assert (model, 0.2, 0.5) == (told["model"], told["temperature"], told["top_p"])


async def test_no_client_gets_around_a_rule(gateway: GatewayMaker, provider: Provider) -> None:
    """A name that joins several does not become part of another."""
    running = await gateway(deployment(provider, {"match": {"model": "gpt-*"}, "model": "a:{model}"}))

    status, body = await asked(running, "chat", "gpt-5|a:other")

    assert 422 == status
    assert "joins several" in json.loads(body)["error"]["message"]
    assert [] == provider.seen


async def test_tokens_are_counted_for_the_other_model(gateway: GatewayMaker, provider: Provider) -> None:
    """A question for the number of tokens is overridden, too."""
    provider.answers(whole({"input_tokens": 7}))
    running = await gateway(deployment(provider, FORCED, dialect="messages"), env=ENV)
    body = {"model": "claude-x", "messages": [{"role": "user", "content": "Hi"}]}

    assert (200, {"input_tokens": 7}) == await running.post(body, "/v1/messages/count_tokens")
    assert "forced" == provider.seen[0].json["model"]


async def test_the_account_says_so(toybox: Toybox) -> None:
    """What a rule has changed is noted."""
    rule = {"model": "toy:forced", "set": {"top_p": 0.5, "seed": 1}}
    gateway = toybox.gateway(serving(Player()), filters=[{"override": {"rules": [rule]}}])
    one = exchange(gateway)
    one.asked = "m"
    [filter_] = [each for each in gateway.hook.open_filter(exchange=one) if isinstance(each, Overriding)]
    await filter_.request(request())

    assert ["the override gives 'toy:forced' for 'm'", "the override changes top_p, seed"] == one.remarks


# ---- configuration ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (
            {"rules": [{"match": {"model": "x"}}]},
            "a rule does nothing: give it a model, set or remove @ filters[0].override",
        ),
        ({"rules": [{"set": {"temprature": 1}}]}, "'temprature'; did you mean 'temperature'? @ filters[0].override.rules[0].set"),
        ({"rules": [{"set": {"top_p": 7}}]}, "takes a number from 0 to 1 @ filters[0].override.rules[0].set"),
        ({"rules": [{"remove": ["sead"]}]}, "did you mean 'seed'? @ filters[0].override.rules[0].remove"),
        ({"rules": [{"model": ""}]}, "a name is empty: say which model is meant @ filters[0].override.rules[0]"),
        ({"rules": [{"model": "a:{1}"}]}, "'{1}' in 'a:{1}' stands for nothing"),
        ({"rules": [{"match": {"model": ["x", "y-*"]}, "model": "a:{1}"}]}, "'{1}' in 'a:{1}' stands for nothing"),
        ({"rules": [{"model": "a:x?top=1"}]}, "there is no setting 'top'"),
        ({"rules": [{"modell": "x"}]}, "unknown key 'modell' @ filters[0].override.rules[0]; did you mean 'model'?"),
        ({"model": "a:{1}"}, "'{1}' in 'a:{1}' stands for nothing; there are: {model} @ filters[0].override.model"),
    ],
)
async def test_rules_are_checked_at_the_start(gateway: GatewayMaker, provider: Provider, options: Any, problem: str) -> None:
    """A rule that cannot be meant so keeps the deployment from starting, and says where."""
    with pytest.raises(ConfigError) as caught:
        await gateway({"backends": backends(provider), "filters": [{"override": options}]})

    told = caught.value.problems[0]
    assert problem.partition(" @ ")[0] in told
    assert problem.partition(" @ ")[2] in told


def test_without_rules_it_sits_out(toybox: Toybox) -> None:
    """There is nothing to do, and the list of plugins says so."""
    gateway = toybox.gateway(serving(Player()), filters=["override"])

    assert ["it has no rules"] == [why for item, why in gateway.idle if item.name == "override"]
