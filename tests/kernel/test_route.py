from __future__ import annotations

from collections.abc import Sequence

import pytest
from attrs import define

from llmgw.config import load
from llmgw.errors import ModelNotFound
from llmgw.gateway import Gateway
from llmgw.route import select
from llmgw.stages import Target
from tests.toys import Player, Toybox, serving


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
    more = {"default_backend": default} if default else {}

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
