from __future__ import annotations

from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import yaml

from llmgw import items
from llmgw.items import PluginItem
from llmgw.structure import Reading

REGISTRY = """\
[llmgw.defaults]
chat = frontends
keys = plugins
tidy = filters
big = backends.BIG_API_KEY
small = backends
"""


@pytest.fixture
def distribution(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Install a distribution by its name and its entry points."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def install(name: str, entry_points: str) -> None:
        info = tmp_path / f"{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(entry_points)

    return install


@pytest.fixture
def registry(distribution: Callable[[str, str], None]) -> None:
    """Our own distribution, with a default set."""
    distribution("llmgw", REGISTRY)


@pytest.fixture
def empty(distribution: Callable[[str, str], None]) -> None:
    """Our own distribution, without a default set."""
    distribution("llmgw", "")


def read(text: str, **env: str) -> list[PluginItem]:
    """The plugins that a piece of YAML has on."""
    reading = Reading(env)
    found = list(items.read(yaml.safe_load(text) or {}, reading))
    assert [] == reading.problems
    return found


def names(text: str, **env: str) -> list[str]:
    """The plugins that a piece of YAML has on, by section and id."""
    return [f"{item.section}.{item.id}" for item in read(text, **env)]


def problems(text: str) -> list[str]:
    """What is wrong with a piece of YAML."""
    reading = Reading({})
    list(items.read(yaml.safe_load(text), reading))
    return [str(problem) for problem in reading.problems]


@pytest.mark.usefixtures("empty")
@pytest.mark.parametrize(
    ("text", "item"),
    [
        ("filters: [tidy]", PluginItem("tidy", "tidy", "filters", {}, "filters[0].tidy")),
        ("filters: [tidy: ]", PluginItem("tidy", "tidy", "filters", {}, "filters[0].tidy")),
        ("filters: [tidy: {a: 1}]", PluginItem("tidy", "tidy", "filters", {"a": 1}, "filters[0].tidy")),
        ("filters: [tidy: {name: neat, a: 1}]", PluginItem("tidy", "neat", "filters", {"a": 1}, "filters[0].tidy")),
        ("filters: [tidy: {name: '${WHO}'}]", PluginItem("tidy", "me", "filters", {}, "filters[0].tidy")),
        ("backends: {big: }", PluginItem("big", "big", "backends", {}, "backends.big")),
        ("backends: {big: {}}", PluginItem("big", "big", "backends", {}, "backends.big")),
        ("backends: {groq: {type: big, a: $X}}", PluginItem("big", "groq", "backends", {"a": "$X"}, "backends.groq")),
        ("backends: {groq: {name: big}}", PluginItem("groq", "groq", "backends", {"name": "big"}, "backends.groq")),
    ],
)
def test_an_item(text: str, item: PluginItem) -> None:
    """Each way to name a plugin gives its name, its id, its untouched options and its place."""
    assert [item] == read(text, WHO="me")


@pytest.mark.usefixtures("empty")
def test_order() -> None:
    """Sections stand in the order of their registration, and in a section the file's order holds."""
    text = "{plugins: [p], backends: {b: , a: }, filters: [z, y], routes: [r], commands: [c], frontends: [f], observers: [o]}"

    assert [
        "frontends.f", "commands.c", "filters.z", "filters.y", "routes.r", "observers.o", "backends.b", "backends.a", "plugins.p",
    ] == names(text)  # fmt: skip


@pytest.mark.usefixtures("empty")
def test_one_plugin_under_two_names() -> None:
    """A plugin may stand twice in a section, when one of the two has another name."""
    assert ["filters.tidy", "filters.neat"] == names("filters: [tidy, tidy: {name: neat}]")


@pytest.mark.usefixtures("registry")
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("filters: tidy", "invalid value for type, expected a list, found 'tidy' @ filters; write - NAME for each plugin"),
        ("filters: {tidy: }", "invalid value for type, expected a list, found a mapping @ filters; write - NAME for each plugin"),
        ("filters: [5]", "expected NAME or NAME: {options}, found 5 @ filters[0]"),
        ("filters: [[a]]", "expected NAME or NAME: {options}, found a list @ filters[0]"),
        ("filters: [{}]", "expected NAME or NAME: {options}, found a mapping @ filters[0]"),
        ("filters: ['']", "expected NAME or NAME: {options}, found '' @ filters[0]"),
        ("filters: [5: {}]", "invalid key, expected text, found 5 @ filters[0].5; put it in quotes"),
        ("filters: [tidy: 5]", "invalid value for type, expected a mapping of options, found 5 @ filters[0].tidy"),
        (
            "filters:\n- tidy:\n  name: neat\n",
            "expected one plugin, found 'tidy', 'name' @ filters[0]; indent options deeper than the plugin's name",
        ),
        ("filters: [tidy: {name: 5}]", "invalid value for type, expected str, found 5 @ filters[0].tidy.name"),
        (
            "filters: [tidy: {name: '${X}'}]",
            "X is not set @ filters[0].tidy.name; export it, or write ${X:-a value}",
        ),
        ("filters: [tidy, tidy]", "a second 'tidy' in filters @ filters[1].tidy; give one of them a name: of its own"),
        ("backends: [big]", "invalid value for type, expected a mapping, found a list @ backends; write ID: {type: NAME}"),
        ("backends: {big: 5}", "invalid value for type, expected a mapping of options, found 5 @ backends.big"),
        ("backends: {5: {}}", "invalid key, expected text, found 5 @ backends.5; put it in quotes"),
        ("backends: {big: {type: null}}", "invalid value for type, expected str, found nothing @ backends.big.type"),
        ("backends: {'a:b': }", "an id may not contain ':', which divides it from the model in ID:MODEL @ backends.a:b"),
        ("defaults: {kyes: false}", "'kyes' is not in the default set @ defaults; did you mean 'keys'?"),
        ("defaults: {keys: 'no'}", "invalid value for type, expected bool, found 'no' @ defaults.keys"),
        ("defaults: [keys]", "invalid value for type, expected a mapping, found a list @ defaults"),
    ],
)
def test_refuses(text: str, message: str) -> None:
    """What is wrong with a section is said with its place."""
    assert [message] == problems(text)


# ---- the default set


@pytest.mark.usefixtures("registry")
@pytest.mark.parametrize(
    ("text", "env", "on"),
    [
        ("", {}, ["frontends.chat", "filters.tidy", "backends.small", "plugins.keys"]),
        ("", {"BIG_API_KEY": "k"}, ["frontends.chat", "filters.tidy", "backends.big", "backends.small", "plugins.keys"]),
        ("", {"BIG_API_KEY": ""}, ["frontends.chat", "filters.tidy", "backends.small", "plugins.keys"]),
        ("frontends: [other]", {}, ["frontends.other", "filters.tidy", "backends.small", "plugins.keys"]),
        ("{frontends: [], backends: {}}", {}, ["frontends.chat", "filters.tidy", "backends.small", "plugins.keys"]),
        ("backends: {groq: }", {"BIG_API_KEY": "k"}, ["frontends.chat", "filters.tidy", "backends.groq", "plugins.keys"]),
        ("filters: [a]", {}, ["frontends.chat", "filters.tidy", "filters.a", "backends.small", "plugins.keys"]),
        ("filters: [a, tidy: {b: 1}]", {}, ["frontends.chat", "filters.a", "filters.tidy", "backends.small", "plugins.keys"]),
        ("filters: [tidy: {name: b}]", {}, ["frontends.chat", "filters.b", "backends.small", "plugins.keys"]),
        ("defaults: {keys: false, small: false}", {}, ["frontends.chat", "filters.tidy"]),
        ("{frontends: [other], defaults: {chat: true, big: true}}", {},
         ["frontends.chat", "frontends.other", "filters.tidy", "backends.big", "backends.small", "plugins.keys"]),
        ("{plugins: [keys], defaults: {keys: false}}", {}, ["frontends.chat", "filters.tidy", "backends.small", "plugins.keys"]),
    ],
)  # fmt: skip
def test_default_set(text: str, env: dict[str, str], on: list[str]) -> None:
    """The file replaces, adds to, configures and switches the default set; a back-end of it needs its variable."""
    assert on == names(text, **env)


@pytest.mark.usefixtures("registry")
def test_a_default_says_so() -> None:
    """What is on without being named can be told from what is named."""
    assert PluginItem("chat", "chat", "frontends", {}, "defaults.chat", default=True) == read("")[0]


def test_a_stranger_is_never_on_by_itself(distribution: Callable[[str, str], None]) -> None:
    """Installing another distribution turns nothing on."""
    distribution("llmgw-acme", "[llmgw.defaults]\nacme = filters\n")
    distribution("llmgw", "[llmgw.defaults]\nchat = frontends\n")

    assert ["frontends.chat"] == names("")


@pytest.mark.usefixtures("registry")
@pytest.mark.parametrize(
    ("text", "env", "expected"),
    [
        ("", {}, {"big": "BIG_API_KEY"}),
        ("", {"BIG_API_KEY": ""}, {"big": "BIG_API_KEY"}),
        ("", {"BIG_API_KEY": "k"}, {}),
        ("backends: {groq: }", {}, {}),
        ("filters: [a]", {}, {"big": "BIG_API_KEY"}),
    ],
)
def test_what_lacks_its_variable(text: str, env: dict[str, str], expected: dict[str, str]) -> None:
    """Those that setting it would switch on, and no others."""
    assert expected == items.lacking(read(text, **env), env)


def test_options_do_not_show() -> None:
    """Options, among which a key may have been written by mistake, are not in what is logged of an item."""
    item: Any = PluginItem("a", "a", "filters", {"key": "sk-hunter2"})

    assert "sk-hunter2" not in repr(item)


# ---- what the command line says -----------------------------------------------------------------


@pytest.mark.usefixtures("registry")
@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("", {"port": 1}),
        ("frontends: [chat]", {"port": 1}),
        ("frontends: [chat: {port: 2, a: 3}]", {"port": 1, "a": 3}),
        ("frontends: [chat: {name: c, port: 2}]", {"port": 1}),
    ],
)
def test_an_option_from_the_command_line(text: str, options: dict[str, Any]) -> None:
    """It goes before what the file says, in each instance of the plugin that has it, and leaves others alone."""
    reading = Reading({})
    found = list(items.read(yaml.safe_load(text) or {}, reading, {"chat.port": 1}))

    assert [] == reading.problems
    assert [options] == [item.options for item in found if item.name == "chat"]
    assert [{}] * (len(found) - 1) == [item.options for item in found if item.name != "chat"]


@pytest.mark.usefixtures("registry")
def test_an_option_of_what_is_not_on() -> None:
    """It is a mistake, not a wish that nobody hears."""
    reading = Reading({})
    list(items.read({"frontends": ["other"]}, reading, {"chat.port": 1}))

    assert ["chat.port is set, but chat is not on @ the command line"] == [str(problem) for problem in reading.problems]


def test_flags(distribution: Callable[[str, str], None]) -> None:
    """Options with a flag stand beside the registry; another distribution's do not count."""
    distribution("llmgw", "[llmgw.flags]\nchat-port = chat.port\n")
    distribution("llmgw-acme", "[llmgw.flags]\nacme = acme.port\n")

    assert {"chat-port": "chat.port"} == items.flags()


def test_no_flags(monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkout that nobody installed has none."""

    def distribution(name: str) -> None:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", distribution)

    assert {} == items.flags()
