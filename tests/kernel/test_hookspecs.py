from __future__ import annotations

import inspect

import pytest

from llmgw import hookspecs, plugins
from tests.toys import Toybox, plugin

NAMES = plugins.hook_names()
FIRST = {"state_store", "authenticate", "session_key", "route"}


def test_there_are_fourteen() -> None:
    """In the order of a gateway's life and of an exchange's."""
    assert [
        "add_cli", "state_store", "lifespan", "extra_routes", "frontend_endpoints", "chat_commands", "backends",
        "status", "open_observer", "authenticate", "session_key", "open_filter", "open_guard", "route",
    ] == NAMES  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_each_is_documented(name: str) -> None:
    """What it is asked for, and each argument."""
    function = getattr(hookspecs, name)
    text = inspect.getdoc(function) or ""

    assert all(f"    {argument}: " in text for argument in inspect.signature(function).parameters)


@pytest.mark.parametrize("name", NAMES)
def test_who_answers_first(name: str) -> None:
    """Of these hooks the first answer is the only one; of the others all are gathered."""
    options = getattr(hookspecs, name).llmgw_spec

    assert (name in FIRST) == options["firstresult"]
    assert not inspect.iscoroutinefunction(getattr(hookspecs, name))


def test_answers_come_in_the_order_of_the_configuration(toybox: Toybox) -> None:
    """Though pluggy calls the last registered first."""
    log: list[str] = []

    def noting(word: str) -> type:
        def lifespan(gateway: object) -> None:
            log.append(word)

        return plugin(lifespan=lifespan)

    gateway = toybox.gateway(noting("a"), noting("b"), noting("c"))
    gateway.hook.lifespan(gateway=gateway)

    assert ["a", "b", "c"] == log
