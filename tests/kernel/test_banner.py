from __future__ import annotations

from collections.abc import Awaitable, Iterable

import pytest

from llmgw.banner import banner
from llmgw.config import load
from llmgw.exchange import Exchange
from llmgw.gateway import Gateway
from llmgw.stages import Endpoint, Principal
from llmgw.version import VERSION
from tests.toys import TOY, Player, Toybox, default_set, plugin, serving

URL = "http://127.0.0.1:8000"


class Last(Player):
    """A back-end that is there so that something is."""

    last_resort = True


def lines(text: str) -> dict[str, str]:
    """Its lines by their words."""
    return {line.split()[0]: line[13:] for line in text.splitlines()[1:]}


def asking() -> type:
    """A plugin that asks for a key."""

    def authenticate(exchange: Exchange) -> Awaitable[Principal] | None:
        return None

    return plugin(authenticate=authenticate)


def test_what_it_says(toybox: Toybox) -> None:
    """Where it listens, what is on, what to try."""
    text = banner(toybox.gateway(serving(Player(name="a"), Player(name="b"))), URL, ["one", "two"])
    said = lines(text)

    assert text.startswith(f"llmgw {VERSION} listens on {URL} (asks for no key, serves this machine)\n")
    assert "a (needs no key), b (needs no key); no default: ask for backend:model" == said["back-ends"]
    assert "/toy" == said["front-ends"]
    assert f"curl {URL}/toy -d '{{}}'" == said["try"]
    assert ["one", "two"] == [line[13:] for line in text.splitlines() if line.startswith("  note")]


def test_who_asks_for_a_key_shows_how_to_send_it(toybox: Toybox) -> None:
    """In what to try, and never the key."""
    text = banner(toybox.gateway(asking()), URL, [])

    assert "(asks for a key)" in text
    assert '-H "Authorization: Bearer YOUR-KEY"' in lines(text)["try"]


def test_what_is_off_and_why(toybox: Toybox) -> None:
    """A plugin that sits out stands there with its reason."""

    def open_filter(exchange: Exchange) -> None:
        return None

    text = banner(toybox.gateway(plugin(open_filter=open_filter, sits_out=lambda self, config: "no key")), URL, [])
    assert "(no key)" in lines(text)["on"].partition("; off: ")[2]


def test_nothing_to_try(toybox: Toybox) -> None:
    """Without front-ends and back-ends its health is all there is."""
    file = toybox.folder / "llmgw.yaml"
    file.write_text(f"defaults: {{{', '.join(f'{name}: false' for name in default_set())}}}")
    said = lines(banner(Gateway.build(load(file, {})), URL, []))
    assert ("none", "none", f"curl {URL}/health") == (said["back-ends"], said["front-ends"], said["try"])


@pytest.mark.parametrize(
    ("backends", "default", "model"),
    [
        ([Player(name="a")], None, "a:MODEL"),
        ([Player(name="a"), Player(name="b")], None, "a:MODEL"),
        ([Player(name="a"), Player(name="b")], "b:big", "b:big"),
        ([Last(name="z")], None, "z"),
        ([], None, "backend:MODEL"),
    ],
)
def test_the_model_to_try(
    toybox: Toybox, monkeypatch: pytest.MonkeyPatch, backends: list[Player], default: str | None, model: str
) -> None:
    """One that will be answered, as far as can be known."""
    monkeypatch.setattr("tests.toys.Toy.example", lambda self, model: model)
    more = {"default_backend": default} if default else {}

    assert f"curl {URL}/toy -d '{model}'" == lines(banner(toybox.gateway(serving(*backends), **more), URL, []))["try"]


def test_where_answers_are_to_be_had(toybox: Toybox) -> None:
    """Each path once, with its port where it has one of its own: that which it got, where any would do."""

    def frontend_endpoints(gateway: Gateway) -> Iterable[Endpoint]:
        for port in (None, 8001, 0, 8001):
            yield Endpoint("POST", "/toy", TOY, port=port)
            yield Endpoint("GET", "/toy/models", TOY, "models", port)

    gateway = toybox.gateway(plugin(frontend_endpoints=frontend_endpoints))
    assert "/toy, :8001/toy, :54321/toy" == lines(banner(gateway, URL, [], {8001: 8001, 0: 54321}))["front-ends"]
    assert "/toy, :8001/toy, :0/toy" == lines(banner(gateway, URL, []))["front-ends"]
