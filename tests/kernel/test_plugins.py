from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from attrs import define, field

from llmgw import plugins
from llmgw.config import Config, PluginItem
from llmgw.errors import ConfigError
from llmgw.hookspecs import hookimpl

HEAD = """\
from __future__ import annotations
from attrs import define, field
from llmgw.hookspecs import hookimpl
from llmgw.secret import Secret
"""

TIDY = """\
@define(eq=False)
class Tidy:
    '''Tidies up.'''

    name: str = ""
    level: int = 1
    api_key: Secret = Secret.env("TIDY_API_KEY")

    @hookimpl
    def open_filter(self, exchange):
        return f"{self.name}, level {self.level}"
"""


@define
class Site:
    """A place on sys.path into which distributions are installed."""

    root: Path
    modules: set[str] = field(factory=set)

    def install(
        self, distribution: str, code: Mapping[str, str], entry_points: str, *, group: str = "llmgw", extras: str = ""
    ) -> None:
        """Install modules under a distribution."""
        info = self.root / f"{distribution.replace('-', '_')}-1.0.dist-info"
        info.mkdir()
        provides = "".join(f"Provides-Extra: {extra}\n" for extra in extras.split())
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n{provides}")
        (info / "entry_points.txt").write_text(f"[{group}]\n{entry_points}\n")
        for module, text in code.items():
            (self.root / f"{module}.py").write_text(HEAD + dedent(text))
            self.modules.add(module)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """An empty place; our own distribution in it brings no plugin."""
    monkeypatch.syspath_prepend(str(tmp_path))
    site = Site(tmp_path)
    site.install("llmgw", {}, "", extras="redis")
    yield site
    for module in site.modules:
        sys.modules.pop(module, None)


@pytest.fixture
def toys(site: Site) -> Site:
    """Some plugins."""
    site.install("toys", {"toy_tidy": TIDY, "toy_broken": "1 / 0"}, "tidy = toy_tidy:Tidy\nbroken = toy_broken:Broken")
    return site


def item(plugin: str, section: str = "filters", called: str = "", /, **options: Any) -> PluginItem:
    """A plugin as the YAML names it."""
    return PluginItem(plugin, called or plugin, section, options, f"{section}.{called or plugin}")


def load(*items: PluginItem, **env: str) -> list[Any]:
    """The instances that a configuration gives."""
    return [plugin for _, plugin in plugins.load(Config(items=items, env=env))]


def problems(*items: PluginItem) -> list[str]:
    """What the loader says about a configuration."""
    with pytest.raises(ConfigError) as caught:
        load(*items)
    return list(caught.value.problems)


# ---- what is installed


def test_installed_imports_nothing(toys: Site) -> None:
    """Plugins are listed without importing them, so that a broken one is listed too."""
    found = plugins.installed()

    assert plugins.Installed("tidy", "toy_tidy:Tidy", "toys", "1.0") == found["tidy"]
    assert ["broken", "tidy"] == sorted(found)
    assert not {"toy_tidy", "toy_broken"} & set(sys.modules)


def test_installed_knows_extras(site: Site) -> None:
    """An entry point says which extra of its distribution it needs."""
    site.install("toys", {}, "store = toy_store:Store [redis,fast]")

    assert plugins.Installed("store", "toy_store:Store", "toys", "1.0", ("redis", "fast")) == plugins.installed()["store"]


def test_two_distributions_may_not_share_a_name(toys: Site) -> None:
    """A stranger's plugin of a known name is reported, and refused where it is named, whichever came first."""
    toys.install("evil", {"evil_tidy": TIDY}, "tidy = evil_tidy:Tidy")

    problem = "evil and toys both bring a plugin of this name: uninstall one of them"
    assert problem == plugins.installed()["tidy"].problem
    assert [f"plugin 'tidy' cannot be used, {problem} @ filters.tidy"] == problems(item("tidy"))
    assert not {"toy_tidy", "evil_tidy"} & set(sys.modules)


# ---- loading


def test_imports_what_is_named_and_no_more(toys: Site) -> None:
    """A plugin that nobody named is not imported, however broken it is."""
    load(item("tidy"))

    assert "toy_tidy" in sys.modules
    assert "toy_broken" not in sys.modules


@pytest.mark.usefixtures("toys")
def test_options_become_fields() -> None:
    """An instance has the options of its item, its id as its name, and its keys from the environment."""
    one, two = load(item("tidy", "filters", "neat", level=5), item("tidy", name="other"), TIDY_API_KEY="sk-hunter2")

    assert ("neat", 5, "sk-hunter2") == (one.name, one.level, one.api_key.reveal())
    assert "other" == two.name


@pytest.mark.usefixtures("toys")
def test_hooks_answer_in_the_order_of_the_configuration() -> None:
    """Whatever pluggy's own order is, the first in the file answers first, and two equal plugins are two."""
    config = Config(items=(item("tidy", "filters", "a"), item("tidy", "filters", "b"), item("tidy", "filters", "c", level=2)))
    pm = plugins.manager()
    plugins.register(pm, plugins.load(config))

    assert ["a, level 1", "b, level 1", "c, level 2"] == pm.hook.open_filter(exchange=None)
    assert {"filters:a", "filters:b", "filters:c"} == {name for name, _ in pm.list_name_plugin()}


@pytest.mark.usefixtures("site")
def test_without_plugins() -> None:
    """The kernel starts with no plugin at all."""
    pm = plugins.manager()
    plugins.register(pm, plugins.load(Config()))

    assert [] == pm.hook.open_filter(exchange=None)


@pytest.mark.usefixtures("toys")
def test_mistakes_in_options_have_their_place() -> None:
    """A wrong option is told with its path, with the words that are read elsewhere among the suggestions."""
    assert [
        "unknown key 'levle' @ filters.tidy; did you mean 'level'?",
        "unknown key 'nmae' @ filters.tidy; did you mean 'name'?",
        "a key must not stand in the file @ filters.tidy.api_key; write env:NAME and export NAME",
        "invalid value for type, expected int, found 'x' @ filters.tidy.level",
    ] == problems(item("tidy", levle=1, nmae="x", level="x", api_key="sk-hunter2"))


@pytest.mark.usefixtures("toys")
def test_all_at_once() -> None:
    """What is wrong with any plugin is told together, sorted by place."""
    found = problems(item("tidy", level="x"), item("nope"), item("broken"))

    assert ["filters.broken", "filters.nope", "filters.tidy.level"] == [text.partition(" @ ")[2].split(";")[0] for text in found]


# ---- what cannot be loaded


@pytest.mark.usefixtures("toys")
@pytest.mark.parametrize(
    ("named", "message"),
    [
        (item("tiddy"), "no plugin 'tiddy' is installed @ filters.tiddy; did you mean 'tidy'?"),
        (item("redis"), "no plugin 'redis' is installed @ filters.redis; pip install 'llmgw[redis]'"),
        (item("zzz"), "no plugin 'zzz' is installed @ filters.zzz; `llmgw plugins` lists those that are"),
        (item("zzz", "backends", "groq"), "no plugin 'zzz' is installed @ backends.groq; `llmgw plugins` lists those that are"),
        (item("groq", "backends", tpye="tidy"), "unknown key 'tpye' @ backends.groq; did you mean 'type'?"),
    ],
)
def test_not_installed(named: PluginItem, message: str) -> None:
    """A name that no distribution brings is told with the nearest one, or with what installs it."""
    assert [message] == problems(named)


@pytest.mark.parametrize(
    ("code", "entry_point", "message"),
    [
        ("import redos.client", "toy:Toy [redis]",
         "plugin 'toy' cannot be used, its dependency 'redos' is missing @ filters.toy; pip install 'toys[redis]'"),
        ("import redos", "toy:Toy",
         "plugin 'toy' cannot be used, its dependency 'redos' is missing @ filters.toy; pip install 'toys'"),
        ("", "tyo:Toy", "plugin 'toy' is broken, there is no module 'tyo' @ filters.toy; reinstall toys"),
        ("", "toy.inner:Toy", "plugin 'toy' is broken, there is no module 'toy.inner' @ filters.toy; reinstall toys"),
        ("import toy.inner", "toy:Toy", "plugin 'toy' is broken, there is no module 'toy.inner' @ filters.toy; reinstall toys"),
        ("x = 1\n1 / 0", "toy:Toy", "plugin 'toy' is broken, ZeroDivisionError: division by zero (ROOT/toy.py:6) @ filters.toy"),
        ("import attrs.nope", "toy:Toy",
         "plugin 'toy' cannot be used, its dependency 'attrs.nope' is missing @ filters.toy; pip install 'toys'"),
        ("from attrs import nope", "toy:Toy", "plugin 'toy' is broken, ImportError: cannot import name 'nope' from 'attrs'"),
        ("def", "toy:Toy", "plugin 'toy' is broken, SyntaxError: invalid syntax (toy.py, line 5) @ filters.toy"),
        (TIDY, "toy:Tiddy", "plugin 'toy' is broken, toy has no 'Tiddy' @ filters.toy; did you mean 'Tidy'?"),
        (TIDY, "toy:Tidy.Inner", "plugin 'toy' is broken, toy has no 'Tidy.Inner' @ filters.toy"),
    ],
)  # fmt: skip
def test_broken(site: Site, code: str, entry_point: str, message: str) -> None:
    """A plugin that is not there, one whose dependency is not there and one that breaks are told apart."""
    site.install("toys", {"toy": code}, f"toy = {entry_point}")

    [problem] = problems(item("toy"))
    assert problem.replace(str(site.root), "ROOT").startswith(message)


CLASS = """\
@define(eq=False)
class Toy:
    '''A toy.'''
"""


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("Toy = 5", "toy:Toy is no class with @define(eq=False) @ filters.toy"),
        ("class Toy:\n    '''A toy.'''", "toy:Toy is no class with @define(eq=False) @ filters.toy"),
        (f"{TIDY}\nclass Toy(Tidy):\n    '''A toy.'''", "toy:Toy is no class with @define(eq=False) @ filters.toy"),
        ("@define(eq=False)\nclass Toy:\n    pass", "toy:Toy has no docstring, by which people choose it @ filters.toy"),
        ("@define\nclass Toy:\n    '''A toy.'''", "toy:Toy compares by its options @ filters.toy; write @define(eq=False)"),
        (f"{CLASS}    @hookimpl\n    def open_fliter(self, exchange): ...",
         "there is no hook 'open_fliter' @ filters.toy; did you mean 'open_filter'?"),
        (f"{CLASS}    @hookimpl(specname='open_fliter')\n    def some(self, exchange): ...",
         "there is no hook 'open_fliter' @ filters.toy; did you mean 'open_filter'?"),
        (f"{CLASS}    @hookimpl\n    async def open_filter(self, exchange): ...",
         "its hook 'open_filter' is async; return the object that awaits @ filters.toy"),
        (f"{CLASS}    @hookimpl\n    async def open_filter(self, exchange):\n        yield",
         "its hook 'open_filter' is async; return the object that awaits @ filters.toy"),
        (f"{CLASS}    @hookimpl(tryfirst=True)\n    def open_filter(self, exchange): ...",
         "its hook 'open_filter' asks for tryfirst; the order of the configuration is the only order @ filters.toy"),
        (f"{CLASS}    @hookimpl(trylast=True)\n    def open_filter(self, exchange): ...",
         "its hook 'open_filter' asks for trylast; the order of the configuration is the only order @ filters.toy"),
        (f"{CLASS}    @hookimpl(wrapper=True)\n    def open_filter(self, exchange):\n        return (yield)",
         "its hook 'open_filter' asks for wrapper; the order of the configuration is the only order @ filters.toy"),
        (f"{CLASS}    @hookimpl(hookwrapper=True)\n    def open_filter(self, exchange):\n        yield",
         "its hook 'open_filter' asks for hookwrapper; the order of the configuration is the only order @ filters.toy"),
        (f"{CLASS}    @hookimpl\n    def open_filter(self, exchange=None): ...",
         "its hook 'open_filter' has a default for 'exchange'; pluggy passes nothing to such an argument @ filters.toy"),
        (f"{CLASS}    @hookimpl\n    def open_filter(self, excahnge): ...",
         "its hook 'open_filter' has an argument 'excahnge'; there are: exchange @ filters.toy"),
    ],
)  # fmt: skip
def test_class_rules(site: Site, code: str, message: str) -> None:
    """What pluggy would take without a word, or refuse in words that are not the reader's, is said at the start."""
    site.install("toys", {"toy": code}, "toy = toy:Toy")

    assert f"plugin 'toy' is broken, {message}" in problems(item("toy"))


def test_hooks_may_take_fewer_arguments(site: Site) -> None:
    """A hook names the arguments that it needs, and may be a static method or a class method."""
    code = (
        f"{CLASS}    @hookimpl\n    def open_filter(self): ...\n    @hookimpl\n    @staticmethod\n    def route(request): ...\n"
    )
    site.install("toys", {"toy": code}, "toy = toy:Toy")

    assert 1 == len(load(item("toy")))


HOOKS = {
    "frontend_endpoints": "frontends",
    "chat_commands": "commands",
    "open_filter": "filters",
    "route": "routes",
    "open_observer": "observers",
    "backends": "backends",
}


@pytest.mark.parametrize("section", [*HOOKS.values(), "plugins"])
@pytest.mark.parametrize("hook", HOOKS)
def test_each_in_its_section(site: Site, hook: str, section: str) -> None:
    """A plugin that has nothing to do in its section is sent to where it has; ``plugins`` takes all."""
    site.install("toys", {"toy": f"{CLASS}    @hookimpl\n    def {hook}(self): ..."}, "toy = toy:Toy")

    if section in (HOOKS[hook], "plugins"):
        assert 1 == len(load(item("toy", section)))
    else:
        [problem] = problems(item("toy", section))
        assert problem.startswith(f"plugin 'toy' does not belong in {section}, it has no ")
        assert problem.endswith(f" @ {section}.toy; move it to {HOOKS[hook]}")


def test_a_front_end_may_bring_pages_only(site: Site) -> None:
    """Routes beside the pipeline make a front-end too."""
    site.install("toys", {"toy": f"{CLASS}    @hookimpl\n    def extra_routes(self): ..."}, "toy = toy:Toy")

    assert 1 == len(load(item("toy", "frontends")))


def test_what_belongs_to_no_stage(site: Site) -> None:
    """A plugin without a stage belongs in ``plugins``."""
    site.install("toys", {"toy": f"{CLASS}    @hookimpl\n    def session_key(self): ..."}, "toy = toy:Toy")

    assert ["plugin 'toy' does not belong in filters, it has no open_filter @ filters.toy; move it to plugins"] == problems(
        item("toy")
    )


# ---- for the list of plugins


@pytest.mark.usefixtures("toys")
def test_a_class_for_its_documentation() -> None:
    """One plugin's class can be had without a configuration; what is wrong with it then has no place in one."""
    found = plugins.installed()

    assert "Tidies up." == plugins.load_class(found["tidy"]).__doc__
    with pytest.raises(
        ConfigError, match=r"^plugin 'broken' is broken, ZeroDivisionError: division by zero \(.*toy_broken\.py:5\)$"
    ):
        plugins.load_class(found["broken"])


def test_hook_names() -> None:
    """The hooks are those of the specification, in its order."""
    names = plugins.hook_names()

    assert ["add_cli", "state_store", "lifespan"] == names[:3]
    assert "hookspec" not in names


# ---- registering what somebody else has built


@define(eq=False)
class Misspelt:
    """Has a hook that does not exist."""

    @hookimpl
    def open_fliter(self, exchange: object) -> None:
        """Never called."""


def test_registering_looks_for_hooks_that_do_not_exist() -> None:
    """Also what did not come through the loader is looked at."""
    with pytest.raises(ConfigError, match=r"^unknown hook 'open_fliter'"):
        plugins.register(plugins.manager(), [(item("a"), Misspelt())])


def test_registering_twice() -> None:
    """One instance under two names is refused."""
    plugin = Misspelt()

    with pytest.raises(ConfigError, match="already registered"):
        plugins.register(plugins.manager(), [(item("a"), plugin), (item("b"), plugin)])
