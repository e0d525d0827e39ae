"""Who may import whom. Knowledge that two plugins share goes down into a dialect or up into the kernel's types."""

from __future__ import annotations

import sys
from collections.abc import Collection
from graphlib import CycleError, TopologicalSorter

from tests.architecture.tree import PLUGIN_FOLDERS, Import, dependencies, entries, imports, modules, sources

OURS = {module.partition(".")[0] for module in modules()}

OPTIONAL = {"llmgw_context_window": "tiktoken"}
"""Extras that make a plugin better and that it does without."""

AIOHTTPS = {"yarl", "multidict"}
"""Packages whose objects aiohttp hands out and takes."""

LAYERS = (
    {"cli"},
    {"serve", "listing", "init", "doctor", "explain", "status"},
    {"server", "banner"},
    {"app", "gateway", "pulse"},
    {"pipeline"},
    {"attempts", "keyed"},
    {"chat", "transport", "plugins", "config", "route"},
    {"hookspecs", "losses", "memory", "state", "tokens"},
    {"exchange"},
    {"stages"},
    {"store"},
    {"events"},
    {"model"},
)
"""The kernel, from the top; a package with all its modules. Those that stand in no layer are tools, which lie below all."""


def test_kernel_knows_nobody() -> None:
    """The kernel imports its dependencies and itself, and of extras only what makes it faster."""
    allowed = {"llmgw"} | dependencies() | dependencies("speed") | AIOHTTPS

    assert [] == strangers("kernel/llmgw", allowed)


def test_dialects_know_the_model() -> None:
    """A dialect knows the model, the events and the tools for bytes; no socket, no gateway, no plugin."""
    known = {f"llmgw.{name}" for name in ("errors", "events", "jsons", "model", "splice", "sse", "stages")}

    assert [] == strangers("kernel/llmgw_dialects", known | {"llmgw_dialects", "attrs", "yaml"})


def test_logins_know_the_stages() -> None:
    """What back-ends with a vendor's login share knows the kernel's types and its tools; no gateway, no plugin, no vendor."""
    known = {f"llmgw.{name}" for name in ("errors", "jsons", "stages")}

    assert [] == strangers("kernel/llmgw_logins", known | {"llmgw_logins", "attrs", "aiohttp", "yarl"})


def test_routes_know_the_stages() -> None:
    """What routing plugins share knows the kernel's types and its tools; no gateway, no plugin, no provider."""
    known = {f"llmgw.{name}" for name in ("errors", "events", "exchange", "model", "nearest", "route", "stages", "store")}

    assert [] == strangers("kernel/llmgw_routes", known | {"llmgw_routes", "attrs"})


def test_test_kit_knows_no_plugin() -> None:
    """The kit for tests knows the kernel and pytest, so that a stranger's plugin is tested as ours are."""
    allowed = {"llmgw", "llmgw_testing", "pytest", "pytest_asyncio"} | dependencies() | AIOHTTPS

    assert [] == strangers("kernel/llmgw_testing", allowed)


def test_plugins_know_no_plugin() -> None:
    """A plugin imports what it declares, the kernel, dialects and itself: never another plugin."""
    common = {"llmgw", "llmgw_dialects", "llmgw_logins", "llmgw_routes"} | dependencies() | AIOHTTPS
    faults = []
    for source in sources(*PLUGIN_FOLDERS):
        extras = {extra for entry in entries() if entry.package == source.package for extra in entry.extras}
        extras |= {extra for package, extra in OPTIONAL.items() if package == source.package}
        allowed = common.union({source.package}, *(dependencies(extra) for extra in extras))
        faults += [str(each) for each in imports(source) if not is_allowed(each, allowed)]

    assert [] == faults


def test_kernel_has_no_cycles() -> None:
    """The kernel's modules can be put in an order in which each imports only what stands before it."""
    try:
        order = list(TopologicalSorter(kernel_graph()).static_order())
    except CycleError as error:
        order, cycle = [], " -> ".join(error.args[1])
        raise AssertionError(f"the kernel imports in a circle: {cycle}") from None

    assert "model" in order


def test_kernel_has_layers() -> None:
    """What lies higher in the kernel imports what lies lower or beside it, never the reverse."""
    height = {name: -number for number, names in enumerate(LAYERS) for name in names}
    lowest = -len(LAYERS)
    faults = [
        f"llmgw.{name} imports llmgw.{other}, which lies above it"
        for name, others in kernel_graph().items()
        for other in others
        if height.get(name.partition(".")[0], lowest) < height.get(other.partition(".")[0], lowest)
    ]

    assert [] == faults


def test_layers_exist() -> None:
    """Every module that stands in a layer is there."""
    assert set() == set.union(*LAYERS) - set(kernel_graph())


def kernel_graph() -> dict[str, set[str]]:
    """The kernel's modules, and which others each imports when it is imported.

    Without ``llmgw`` itself, which lists everybody's names and which nobody in the kernel may take names from.
    """
    graph: dict[str, set[str]] = {}
    for source in sources("kernel/llmgw"):
        if source.module != "llmgw":
            found = {each.module for each in imports(source, when_imported=True) if each.package == "llmgw"}
            assert "llmgw" not in found, f"{source} takes a name from llmgw: take it from the module that defines it"
            graph[source.module.removeprefix("llmgw.")] = {name.removeprefix("llmgw.") for name in found}
    return graph


def strangers(folder: str, allowed: Collection[str]) -> list[str]:
    """Imports under a folder of what is neither allowed nor in the standard library."""
    return [str(each) for source in sources(folder) for each in imports(source) if not is_allowed(each, allowed)]


def is_allowed(each: Import, allowed: Collection[str]) -> bool:
    """Whether an import is of the standard library, of an allowed package, or of the allowed modules of a package of ours."""
    return not {each.package, each.module}.isdisjoint(allowed) or each.package in sys.stdlib_module_names
