from __future__ import annotations

import json
from contextlib import aclosing
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmgw import ConfigError, Target, resolve
from llmgw.mistakes import Mistakes
from llmgw_selectors import Selectors
from llmgw_selectors.aliases import Aliases
from llmgw_selectors.listed import found
from llmgw_testing import Provider, RunningGateway, run_gateway, whole
from llmgw_testing.fixtures import GatewayMaker
from tests.plugins.naming import ENV, FRONTS, REAL, answered, asked, backends, models_in
from tests.toys import Player, Toybox, exchange, request, serving

ALIASES = {
    "fast": "a:anvil",
    "cool": "a:anvil?temperature=0.2",
    "claude-*": "a:anthropic/{model}",
    "claude-haiku-*": "a:small-{1}",
    "quick": "fast",
}


def deployment(provider: Provider, *, dialect: str = "chat", **options: Any) -> dict[str, Any]:
    """One back-end, and what names mean."""
    return {"backends": backends(provider, dialect=dialect), "routes": [{"selectors": options}]}


# ---- settings -----------------------------------------------------------------------------------


@pytest.mark.parametrize("dialect", FRONTS)
async def test_settings_in_a_name(gateway: GatewayMaker, provider: Provider, dialect: str) -> None:
    """Each dialect's provider gets the setting behind the question mark, and the name before it."""
    provider.answers(answered(dialect, streamed=False))
    running = await gateway(deployment(provider, dialect=dialect), env=ENV)

    status, _ = await asked(running, dialect, "a:anvil?temperature=0.25")

    told = provider.seen[0].json.get("generationConfig", provider.seen[0].json)
    assert (200, 0.25) == (status, told["temperature"])
    assert "anvil" in (provider.seen[0].json.get("model"), provider.seen[0].path.rpartition("/")[2].partition(":")[0])


@pytest.mark.parametrize("front", FRONTS)
async def test_settings_cross_dialects(gateway: GatewayMaker, provider: Provider, front: str) -> None:
    """Whatever the client speaks, the provider is told in its own words."""
    provider.answers(answered("chat", streamed=False))
    running = await gateway(deployment(provider))

    status, _ = await asked(running, front, "a:anvil?reasoning_effort=low&stop=a%26b&top_p=0.5")

    assert (200, "low", ["a&b"], 0.5) == (status, *(provider.seen[0].json[key] for key in ("reasoning_effort", "stop", "top_p")))


async def test_a_setting_is_removed(gateway: GatewayMaker, provider: Provider) -> None:
    """An empty value takes out what the client has set."""
    provider.answers(answered("chat", streamed=False))
    running = await gateway(deployment(provider))

    await asked(running, "chat", "a:anvil?temperature=", temperature=1, top_p=0.5)

    assert "temperature" not in provider.seen[0].json
    assert 0.5 == provider.seen[0].json["top_p"]


@pytest.mark.parametrize("name", ["a:anvil?", "a:anvil?hello", "a:anvil?tempature=1", "a:anvil?temperature=9", "a:anvil??a=1"])
async def test_no_settings_are_a_mistake(gateway: GatewayMaker, provider: Provider, name: str) -> None:
    """The client hears what is wrong with the name, and no provider is asked."""
    running = await gateway(deployment(provider))

    status, body = await asked(running, "chat", name)

    assert (422, "model") == (status, json.loads(body)["error"]["param"])
    assert name in json.loads(body)["error"]["message"]
    assert [] == provider.seen


# ---- aliases ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("fast", "anvil"),
        ("FAST", "anvil"),
        ("quick", "anvil"),
        ("claude-sonnet-4", "anthropic/claude-sonnet-4"),
        ("Claude-Sonnet-4", "anthropic/Claude-Sonnet-4"),
        ("claude-haiku-3", "small-3"),
        ("a:claude-x", "claude-x"),
        ("other", "other"),
        ("fast?temperature=1", "anvil"),
    ],
)
async def test_what_a_name_means(gateway: GatewayMaker, provider: Provider, name: str, model: str) -> None:
    """An exact name before a pattern, a longer pattern before a shorter one; a name with its back-end is no alias."""
    provider.answers(answered("chat", streamed=False))
    running = await gateway(deployment(provider, aliases=ALIASES))

    status, _ = await asked(running, "chat", name)

    assert (200, model) == (status, provider.seen[0].json["model"])


async def test_an_alias_brings_settings(gateway: GatewayMaker, provider: Provider) -> None:
    """Those of the deployment go before the client's own."""
    provider.answers(answered("chat", streamed=False))
    running = await gateway(deployment(provider, aliases=ALIASES))

    await asked(running, "chat", "cool", temperature=1)

    assert 0.2 == provider.seen[0].json["temperature"]


@pytest.mark.parametrize("routes", [["selectors", "failover"], ["failover", "selectors"]])
async def test_an_alias_may_mean_several(gateway: GatewayMaker, provider: Provider, routes: list[str]) -> None:
    """One after the other, each with its own settings, in whatever order the plugins stand."""
    provider.answers(whole({"error": {"message": "Busy."}}, 503), answered("chat", streamed=False))
    selectors = {"selectors": {"aliases": {"smart": "one|a:y?top_p=0.5", "one": "a:x?temperature=1"}}}
    made = [selectors if name == "selectors" else name for name in routes]
    running = await gateway({"backends": backends(provider), "routes": made})
    status, body = await asked(running, "chat", "smart")

    told = [(one.json["model"], one.json.get("temperature"), one.json.get("top_p")) for one in provider.seen]
    assert (200, {"smart"}, [("x", 1, None), ("y", None, 0.5)]) == (status, models_in(body), told)


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("dialect", FRONTS)
async def test_the_client_sees_the_name_it_asked_for(provider: Provider, dialect: str, streamed: bool) -> None:
    """All over the reply, whole or in each event, in the provider's dialect or another; who asks for a target sees its name."""
    seen: dict[str, tuple[set[str], set[str], bool]] = {}
    async with run_gateway(deployment(provider, dialect=dialect, aliases=ALIASES), ENV) as running:
        for front in FRONTS:
            spoken = "chat" if dialect == "responses" != front else dialect
            provider.answers(answered(spoken, streamed=streamed))
            _, renamed = await asked(running, front, "fast", streamed=streamed)
            _, plain = await asked(running, front, "a:anvil", streamed=streamed)
            seen[front] = models_in(renamed), models_in(plain), "Yes" in renamed

    assert dict.fromkeys(FRONTS, ({"fast"}, {REAL}, True)) == seen


async def test_the_real_name_may_be_shown(gateway: GatewayMaker, provider: Provider) -> None:
    """With ``show: real`` the reply is as the provider gave it."""
    provider.answers(answered("chat", streamed=False))
    running = await gateway(deployment(provider, aliases=ALIASES, show="real"))

    assert {REAL} == models_in((await asked(running, "chat", "fast"))[1])


async def test_only_who_is_renamed_pays(toybox: Toybox) -> None:
    """A filter is opened for an alias, and for no other name."""
    plugin = Selectors(aliases=ALIASES)
    gateway = toybox.gateway(serving(Player()))
    opened = {}
    for name in ("fast", "claude-x", "fast?top_p=1", "other", "toy:fast", "fast|other"):
        one = exchange(gateway)
        one.asked = name
        opened[name] = plugin.open_filter(one) is not None

    assert ["fast", "claude-x", "fast?top_p=1"] == [name for name, is_open in opened.items() if is_open]


@pytest.mark.parametrize(
    ("aliases", "problem"),
    [
        ({"fast": ""}, "a name is empty: say which model is meant @ routes[0].selectors.aliases.fast"),
        (
            {"c-*": "a:{name}"},
            "'{name}' in 'a:{name}' stands for nothing; there are: {model}, {1} @ routes[0].selectors",
        ),
        ({"fast": "a:{1}"}, "'{1}' in 'a:{1}' stands for nothing; there are: {model} @ routes[0].selectors.aliases.fast"),
        ({"fast": "fast"}, "the alias means itself @"),
        ({"x": "y", "y": "x"}, "the alias leads to itself by 'x': write the model with its back-end, as openai:gpt-5 @"),
        ({"gpt-5": "gpt-5?top_p=1"}, "the alias leads to itself by 'gpt-5?top_p=1'"),
        ({"x": "a:y|[weight=2]z", "z": "X"}, "the alias leads to itself"),
        ({"c-*": "{model}?top_p=1"}, "the alias leads to itself"),
        ({"c-*": "c-c-{1}"}, "the alias leads to itself"),
        ({"a|b": "x"}, "a name has neither blanks around it nor one of the signs | ^ ! ? @"),
        ({" a": "x"}, "a name has neither blanks"),
        ({"x": "a:b?temprature=1"}, "there is no setting 'temprature'; did you mean 'temperature'?"),
    ],
)
async def test_an_alias_is_checked_at_the_start(
    gateway: GatewayMaker, provider: Provider, aliases: dict[str, str], problem: str
) -> None:
    """A deployment whose names cannot be right does not start, and says where."""
    with pytest.raises(ConfigError) as caught:
        await gateway(deployment(provider, aliases=aliases))

    assert problem in caught.value.problems[0]
    assert "routes[0].selectors.aliases." in caught.value.problems[0]


@pytest.mark.parametrize(
    ("name", "meant"), [("claude-x", "claude-s"), ("claude-s", None), ("llama3", "llama3:8b"), ("llama3:8b", None)]
)
def test_a_pattern_may_mean_one_of_its_own(name: str, meant: str | None) -> None:
    """The name that a pattern gives to all of its names stays what it is."""
    assert meant == Aliases({"claude-*": "claude-s", "llama*": "llama3:8b"}).meant(name, qualified=False)


@given(st.dictionaries(st.text("ab*", min_size=1, max_size=3), st.text("abc", min_size=1, max_size=3), max_size=5), st.text("ab"))
def test_aliases_come_to_an_end(given_: dict[str, str], name: str) -> None:
    """What passes the check at the start does not go round in a circle for any name."""
    try:
        aliases = Aliases(given_)
    except Mistakes:
        return
    for _ in range(20):
        meant = aliases.meant(name, qualified=False)
        if meant is None:
            return
        name = meant
    raise AssertionError(f"{given_} goes on with {name}")


# ---- lists of models ----------------------------------------------------------------------------


def listing(*models: str) -> Any:
    """A provider's list."""
    return whole({"object": "list", "data": [{"id": one, "object": "model"} for one in models]})


def two(one: Provider, other: Provider, **more: Any) -> dict[str, Any]:
    """Two back-ends, of which none is the default."""
    made = {name: {"type": "openai-compatible", "base_url": each.base_url} for name, each in (("a", one), ("b", other))}
    return {"backends": made, "routes": ["selectors"], **more}


async def heard(running: RunningGateway, name: str) -> tuple[int, str]:
    """Status and body of a question in Chat."""
    return await asked(running, "chat", name)


@pytest.mark.parametrize("name", ["hammer", "HAMMER", "hammer-latest", "hammer-2025-09-29", "hammer@20250929"])
async def test_a_bare_name_is_looked_up(gateway: GatewayMaker, provider: Provider, name: str) -> None:
    """Without a default back-end it goes to the one that lists it, whatever version is asked for."""
    async with Provider.start() as other:
        provider.answers(listing("anvil"), answered("chat", streamed=False))
        other.answers(listing("hammer"), answered("chat", streamed=False))
        running = await gateway(two(provider, other))
        status, _ = await heard(running, name)

    assert 200 == status
    assert ["/v1/models"] == [one.path for one in provider.seen]
    assert "hammer" == other.seen[-1].json["model"]


async def test_several_have_it(gateway: GatewayMaker, provider: Provider) -> None:
    """The first one in the configuration is asked."""
    async with Provider.start() as other:
        provider.answers(listing("anvil"), answered("chat", streamed=False))
        other.answers(listing("anvil"), answered("chat", streamed=False))
        running = await gateway(two(provider, other))
        await heard(running, "anvil")

    assert (2, 1) == (len(provider.seen), len(other.seen))


async def test_the_lists_are_asked_for_once(gateway: GatewayMaker, provider: Provider) -> None:
    """Further names are looked up in what is known."""
    async with Provider.start() as other:
        provider.answers(listing("anvil"), answered("chat", streamed=False))
        other.answers(listing("hammer"))
        running = await gateway(two(provider, other))
        for _ in range(3):
            await heard(running, "anvil")

    assert 1 == len(other.seen)
    assert 3 == len([one for one in provider.seen if one.path.endswith("completions")])


async def test_a_name_that_nobody_has(gateway: GatewayMaker, provider: Provider) -> None:
    """The client hears which names are like it."""
    async with Provider.start() as other:
        provider.answers(listing("anvil"))
        other.answers(listing("hammer"))
        running = await gateway(two(provider, other))
        status, body = await heard(running, "hamer")

    assert 404 == status
    assert "Did you mean 'b:hammer'?" in json.loads(body)["error"]["message"]


async def test_the_default_is_not_asked_for_its_list(gateway: GatewayMaker, provider: Provider) -> None:
    """With a default back-end a bare name is its own, and no list is asked for."""
    async with Provider.start() as other:
        provider.answers(answered("chat", streamed=False))
        running = await gateway(two(provider, other, default_backend="a"))
        await heard(running, "hammer")

    assert (["/v1/chat/completions"], []) == ([one.path for one in provider.seen], other.seen)


@pytest.mark.parametrize(("name", "goes"), [("hammer", "b"), ("anvil", "a"), ("Anvil", "a"), ("nobody", "a")])
async def test_what_the_default_lacks(gateway: GatewayMaker, provider: Provider, name: str, goes: str) -> None:
    """Once the lists are known, a name that only another back-end has goes there; the default has all others."""
    async with Provider.start() as other:
        provider.answers(listing("anvil"), answered("chat", streamed=False))
        other.answers(listing("hammer", "anvil"), answered("chat", streamed=False))
        running = await gateway(two(provider, other, default_backend="a"))
        await running.get("/v1/models")
        await heard(running, name)

    assert [goes] == [at for at, one in (("a", provider), ("b", other)) if one.seen[-1].path.endswith("completions")]


@pytest.mark.parametrize(
    ("name", "places"),
    [
        ("m-2", [("a", "m-2"), ("b", "m-2")]),
        ("M-2", [("a", "m-2"), ("b", "m-2")]),
        ("d", [("b", "d-20250929")]),
        ("d-latest", [("b", "d-20250929")]),
        ("d-20250101", []),
        ("e", [("b", "e@20250929")]),
        ("two", []),
        ("two-2025-01-01", [("a", "two-2025-01-01")]),
        ("m", []),
        ("x" * 10_000, []),
    ],
)
def test_where_a_model_is_listed(name: str, places: list[tuple[str, str]]) -> None:
    """By its name, by its letters, else by a version of it if there is one only; another version is another model."""
    lists = {
        "a": ["m-2", "two-2025-01-01", "two-2025-02-02", "x" * 10_000],
        "b": ["d-20250929", "e@20250929", "m-2"],
    }

    assert places == found(name, lists)


# ---- the account --------------------------------------------------------------------------------


async def test_the_account_says_why(toybox: Toybox) -> None:
    """Each step from a name to another is noted."""
    gateway = toybox.gateway(serving(Player()), routes=[{"selectors": {"aliases": {"fast": "quick", "quick": "toy:m"}}}])
    one = exchange(gateway)
    async with aclosing(resolve(one, request(model="fast"))) as route:
        targets = [target.name async for target in route if isinstance(target, Target)]

    assert ["toy:m"] == targets
    assert ["'fast' is an alias of 'quick'", "'quick' is an alias of 'toy:m'"] == one.remarks
