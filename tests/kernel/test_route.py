from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing
from importlib.metadata import entry_points
from typing import Any

import pytest
from attrs import define

from llmgw.config import load
from llmgw.errors import Forbidden, GatewayError, Misconfigured, ModelNotFound
from llmgw.exchange import Exchange
from llmgw.gateway import Gateway
from llmgw.model import Request
from llmgw.route import MOST_NAMES, next_step, resolve, select
from llmgw.stages import Principal, Race, Route, Target
from tests.toys import Player, Toybox, exchange, request, routing, serving


@define(eq=False)
class Picky(Player):
    """Serves one model."""

    def serves(self, model: str) -> bool:
        return model == "mine"


ONE, TWO = Player(name="one"), Player(name="two")


@pytest.mark.parametrize(
    ("backends", "default", "model", "expected"),
    [
        ([ONE, TWO], None, "two:m", Target("two", "m")),
        ([ONE, TWO], None, "two:m:8b", Target("two", "m:8b")),
        ([ONE], None, "m", Target("one", "m")),
        ([ONE], None, "llama3:8b", Target("one", "llama3:8b")),
        ([ONE], None, "org/m", Target("one", "org/m")),
        ([ONE, TWO], "two", "m", Target("two", "m")),
        ([ONE, TWO], "two:big", "m", Target("two", "m")),
        ([ONE, TWO], "two:big", "two", Target("two", "big")),
        ([ONE, TWO], "two:big", "default", Target("two", "big")),
        ([ONE, TWO], "two", "two", Target("two", "two")),
        ([ONE, TWO], "two", "one:", Target("two", "one:")),
        ([Picky(name="p")], None, "mine", Target("p", "mine")),
        ([Picky(name="p")], None, "p:other", Target("p", "other")),
    ],
)
def test_what_a_name_means(toybox: Toybox, backends: Sequence[Player], default: str | None, model: str, expected: Target) -> None:
    """``backend:model`` goes there, a bare name to the default back-end; a colon behind no back-end's id is the model's own."""
    more: dict[str, Any] = {"default_backend": default} if default else {}

    assert expected == select(toybox.gateway(serving(*backends), **more), model)


@pytest.mark.parametrize(
    ("backends", "model", "words"),
    [
        ([], "m", "this deployment has no back-end"),
        (
            [ONE, TWO],
            "m",
            "There is no model 'm' here. Models are asked for as backend:model, with one of the back-ends one, two;",
        ),
        ([ONE, TWO], "twoo:m", "Did you mean 'two:m'?"),
        ([ONE, TWO], "twoo", "Did you mean 'two:…'?"),
        ([ONE, TWO], "two", "Did you mean 'two:…'?"),
        ([ONE, TWO], "two:", "Did you mean 'two:…'?"),
        ([ONE, Picky(name="mine"), TWO], "mine", "Did you mean 'mine:mine'?"),
        ([ONE, Picky(name="mine"), TWO], "mien", "Did you mean 'mine:mine'?"),
        ([ONE, Picky(name="p"), TWO], "mine", "Did you mean 'p:mine'?"),
        ([Picky(name="picky")], "other", "with one of the back-ends picky; the list of models has them."),
    ],
)
def test_a_name_that_means_nothing(toybox: Toybox, backends: Sequence[Player], model: str, words: str) -> None:
    """The error says what there is, and what may have been meant."""
    with pytest.raises(ModelNotFound) as caught:
        select(toybox.gateway(serving(*backends)), model)

    assert words in caught.value.message


def test_echo_among_others() -> None:
    """Its name alone means nothing beside other back-ends without a default, and the hint is a name that means it."""
    gateway = Gateway.build(load(None, {"A_KEY": "a", "GROQ_API_KEY": "g", "MISTRAL_API_KEY": "m"}))

    with pytest.raises(ModelNotFound, match=r"There is no model 'echo' here\. Did you mean 'echo:echo'\?"):
        select(gateway, "echo")
    assert Target("echo", "echo") == select(gateway, "echo:echo")


@pytest.mark.parametrize("model", ["one", "two", "one:", "m", "mine", "picky", "Picky", "picky-mine", "tow:", "…"])
async def test_the_hint_is_another_name(toybox: Toybox, model: str) -> None:
    """What was refused is never what was meant."""
    gateway = toybox.gateway(serving(ONE, TWO, Picky(name="picky", listed=("mine",))))
    await gateway.models()

    with pytest.raises(ModelNotFound) as caught:
        select(gateway, model)

    assert f"'{model}'" not in caught.value.message.partition("Did you mean")[2]


async def test_known_models_are_hints(toybox: Toybox) -> None:
    """Once models were listed, a misspelt one is found among them; nobody is asked for it."""
    gateway = toybox.gateway(serving(Player(name="one", listed=("gpt-5-mini",)), Player(name="two")))
    await gateway.models()

    with pytest.raises(ModelNotFound, match="Did you mean 'one:gpt-5-mini'"):
        select(gateway, "one-gpt-5-mini")


def test_long_names_are_not_repeated(toybox: Toybox) -> None:
    """A message stays a message."""
    with pytest.raises(ModelNotFound) as caught:
        select(toybox.gateway(serving(ONE, TWO)), "x" * 100_000)

    assert len(caught.value.message) < 1000


# ---- names that stand for others ----------------------------------------------------------------

ALONE = {one.name: False for one in entry_points(group="llmgw.defaults") if one.value in ("plugins", "filters", "routes")}
"""Switches off what is on by default and would answer for names, too."""


def naming(**names: str) -> type:
    """A plugin that knows names by others."""

    async def run(exchange: Exchange, request: Request) -> Route:
        failure: GatewayError | None = None
        async with aclosing(resolve(exchange, request.with_model(names[request.model]))) as inner:
            while (step := await next_step(inner, failure)) is not None:
                failure = yield step

    return routing(lambda exchange, request: run(exchange, request) if request.model in names else None)


async def first(gateway: Gateway, model: str, principal: Principal | None = None) -> Target | Race | None:
    """Where a model's route begins."""
    one = exchange(gateway, asked=model, principal=principal)
    async with aclosing(resolve(one, request(model=model))) as route:
        return await next_step(route, None)


@pytest.mark.parametrize("upside_down", [False, True])
async def test_names_lead_to_names(toybox: Toybox, upside_down: bool) -> None:
    """Whichever plugin knows which of them."""
    plugins = [naming(fast="small", cheap="fast"), naming(small="one:m")]
    gateway = toybox.gateway(*(reversed(plugins) if upside_down else plugins), serving(ONE, TWO), defaults=ALONE)

    assert Target("one", "m") == await first(gateway, "cheap")


async def test_the_leaf_knows_what_to_ask(toybox: Toybox) -> None:
    """What the last of the plugins has made of the request."""
    target = await first(toybox.gateway(naming(fast="one:m"), serving(ONE, TWO), defaults=ALONE), "fast")

    assert isinstance(target, Target) and target.request is not None
    assert "one:m" == target.request.model


async def test_round_in_a_circle(toybox: Toybox) -> None:
    """Is the deployment's mistake, and the client is told which name it was."""
    with pytest.raises(Misconfigured, match=f"'hen' stands for more than {MOST_NAMES} names, or for itself"):
        await first(toybox.gateway(naming(hen="egg", egg="hen"), serving(ONE, TWO), defaults=ALONE), "hen")


@pytest.mark.parametrize("number", [MOST_NAMES - 1, MOST_NAMES])
async def test_so_many_names(toybox: Toybox, number: int) -> None:
    """Are what an exchange may resolve, the last of them a target."""
    names = {f"n{n}": f"n{n + 1}" for n in range(number - 1)} | {f"n{number - 1}": "one:m"}
    gateway = toybox.gateway(naming(**names), serving(ONE, TWO), defaults=ALONE)
    if number < MOST_NAMES:
        assert Target("one", "m") == await first(gateway, "n0")
    else:
        with pytest.raises(Misconfigured):
            await first(gateway, "n0")


async def test_an_unknown_name_behind_a_known_one(toybox: Toybox) -> None:
    """The client hears of the one that is missing."""
    with pytest.raises(ModelNotFound, match="There is no model 'nope' here"):
        await first(toybox.gateway(naming(fast="nope"), serving(ONE, TWO), defaults=ALONE), "fast")


# ---- who may ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("models", "routes", "asked", "allowed"),
    [
        ((), (), "one:m", True),
        (("one:*",), (), "one:m", True),
        (("m",), (), "one:m", True),
        (("two:*",), (), "one:m", False),
        (("ONE:*",), (), "one:m", False),
        ((), ("fast",), "fast", True),
        ((), ("fast",), "one:m", False),
        ((), ("fast*",), "fast-1", True),
        ((), ("fast*",), "fast|one:m", False),
        ((), ("*",), "fast|one:m", False),
        ((), ("fast*",), "fast^one:m", False),
        ((), ("fast*",), "fast!one:m", False),
        ((), ("fast*",), "fast?temperature=1", False),
        ((), ("*fast",), "[patience=2]fast", False),
        ((), ("fast|slow",), "fast|slow", True),
        (("one:*",), ("fast",), "fast|one:m", True),
    ],
)
def test_who_may(models: tuple[str, ...], routes: tuple[str, ...], asked: str, allowed: bool) -> None:
    """A target by the patterns of models; whatever stands behind a name by those of routes, but nothing that a client adds."""
    assert allowed is Principal("team", models, routes).may(Target("one", "m"), asked)


async def test_who_may_not(toybox: Toybox) -> None:
    """Is told who it is and what it may not use, also behind another name; a name of the deployment's may be another thing."""
    gateway = toybox.gateway(naming(fast="one:m"), serving(ONE, TWO), defaults=ALONE)
    stranger, guest = Principal("stranger", models=("two:*",)), Principal("guest", models=("two:*",), routes=("fast",))

    for model in ("one:m", "fast"):
        with pytest.raises(Forbidden, match="The key 'stranger' may not use 'one:m'"):
            await first(gateway, model, stranger)
    assert Target("two", "m") == await first(gateway, "two:m", stranger)
    assert Target("one", "m") == await first(gateway, "fast", guest)
    with pytest.raises(Forbidden, match="The key 'guest' may not use 'one:m'"):
        await first(gateway, "one:m", guest)
