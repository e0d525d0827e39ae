"""From the names in a configuration to plugins that answer hooks.

Entry points are read without importing them, and only what the configuration names is imported. Everything that can be
wrong with a plugin is said here, at once and with its place in the YAML, so that nothing of it shows in an exchange.
"""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Any

import attrs
import pluggy
from attrs import frozen

from llmgw import hookspecs
from llmgw.config import Config, PluginItem
from llmgw.errors import ConfigError
from llmgw.mistakes import Mistakes, Problem, in_order
from llmgw.nearest import did_you_mean, nearest
from llmgw.structure import structure

_STAGES = {
    "frontends": ("frontend_endpoints", "extra_routes"),
    "commands": ("chat_commands",),
    "filters": ("open_filter",),
    "routes": ("route", "open_guard"),
    "observers": ("open_observer",),
    "backends": ("backends",),
    "plugins": (),
}
"""Which hooks make an item belong in its section; ``plugins`` takes what belongs to no stage."""


@frozen
class Installed:
    """A plugin that could be named, not imported.

    Args:
        name: of the entry point.
        value: ``module:attribute``.
        distribution: who brings it.
        version: of the distribution.
        extras: what must be installed with the distribution for this plugin.
        problem: why it cannot be used, whatever its code.
    """

    name: str
    value: str
    distribution: str
    version: str
    extras: tuple[str, ...] = ()
    problem: str | None = None


def installed() -> dict[str, Installed]:
    """All plugins that could be named, by their names; nothing is imported."""
    from importlib.metadata import Distribution, entry_points

    @cache
    def owner(distribution: Distribution) -> tuple[str, str]:
        # The two lines by hand: the library parses the whole file, README and all, with a mail parser that takes 20 ms to import.
        text = distribution.read_text("METADATA") or distribution.read_text("PKG-INFO") or ""
        lines = {key: value for key, _, value in (line.partition(": ") for line in text.partition("\n\n")[0].splitlines())}
        return lines.get("Name", "unknown"), lines.get("Version", "unknown")

    found: dict[str, Installed] = {}
    for each in entry_points(group="llmgw"):
        assert each.dist is not None, "it was found through its distribution"
        name, version = owner(each.dist)
        problem = None
        if (other := found.get(each.name)) is not None:
            both = " and ".join(sorted([other.distribution, name]))
            problem = f"{both} both bring a plugin of this name: uninstall one of them"
        value = each.value.partition("[")[0].strip()
        found[each.name] = Installed(each.name, value, name, version, tuple(each.extras), problem)
    return dict(sorted(found.items()))


def load(config: Config) -> list[tuple[PluginItem, object]]:
    """Import and make the plugins that a configuration names.

    Returns:
        Each with its item, in the order of the configuration.

    Raises:
        ConfigError: with all that is wrong with any of them.
    """
    available, pm = installed(), manager()
    loaded: list[tuple[PluginItem, object]] = []
    problems: list[Problem] = []
    for item in config.items:
        try:
            loaded.append((item, _make(item, available, config.env, pm)))
        except Mistakes as mistakes:
            problems += mistakes.under(item.path)
    if problems:
        raise ConfigError(*in_order(problems))
    return loaded


def load_class(entry: Installed) -> type:
    """Import one plugin's class, for its documentation.

    Raises:
        ConfigError: it cannot be imported, or is no class that a plugin can be.
    """
    try:
        return _class(entry)
    except Mistakes as mistakes:
        raise ConfigError(*in_order(mistakes.problems)) from None


def hook_names() -> list[str]:
    """The hooks there are, in the order of their documentation."""
    return [name for name, each in vars(hookspecs).items() if hasattr(each, "llmgw_spec")]


def manager() -> pluggy.PluginManager:
    """A plugin manager that knows the hooks and no plugin."""
    made = pluggy.PluginManager("llmgw")
    made.add_hookspecs(hookspecs)
    return made


def register(pm: pluggy.PluginManager, plugins: Sequence[tuple[PluginItem, object]]) -> None:
    """Register plugins so that hooks answer in the order of the configuration.

    Raises:
        ConfigError: a plugin is registered twice, or has a hook that does not exist.
    """
    try:
        for item, plugin in reversed(plugins):  # pluggy calls the last registered first
            pm.register(plugin, name=f"{item.section}:{item.id}")
        pm.check_pending()
    except (pluggy.PluginValidationError, ValueError) as error:
        raise ConfigError(str(error)) from None


# ---- one plugin; what is wrong gets its place in the YAML in ``load`` -----------------------------


def _make(item: PluginItem, available: Mapping[str, Installed], env: Mapping[str, str], pm: pluggy.PluginManager) -> object:
    """Find, import, check and build one plugin; options are checked even where the hooks have faults."""
    if item.name not in available:
        raise _missing(item, available)
    cls = _class(available[item.name])
    hooks = _hooks(cls, pm)
    problems = [*_hook_faults(item.name, hooks), *_misplaced(item, hooks)]
    names = [each.alias for each in attrs.fields(cls) if each.init]
    options = {"name": item.id, **item.options} if "name" in names else item.options
    plugin: object = None
    try:
        plugin = structure(options, cls, path="", env=env, also=["type" if item.section == "backends" else "name"])
    except Mistakes as mistakes:
        problems += mistakes.problems
    if problems:
        raise Mistakes(*problems)
    return plugin


def _missing(item: PluginItem, available: Mapping[str, Installed]) -> Mistakes:
    """Most likely a misspelt name; in a back-end without a type perhaps the misspelt word ``type``."""
    if item.section == "backends" and item.name == item.id and (meant := nearest("type", map(str, item.options), limit=1)):
        return Mistakes.here(f"unknown key {meant[0]!r}", "did you mean 'type'?")
    advice = did_you_mean(item.name, available) or _extra(item.name) or "`llmgw plugins` lists those that are"
    return Mistakes.here(f"no plugin {item.name!r} is installed", advice)


def _extra(name: str) -> str:
    """The command that installs an extra of our own. Other distributions are not guessed: a stranger may own the name."""
    from importlib.metadata import PackageNotFoundError, metadata

    try:
        extras = metadata("llmgw").get_all("Provides-Extra") or []
    except PackageNotFoundError:
        return ""
    return f"pip install 'llmgw[{name}]'" if name in extras else ""


def _class(entry: Installed) -> type:
    """What the entry point names, if it is a class made for options."""
    if entry.problem is not None:
        raise Mistakes.here(f"plugin {entry.name!r} cannot be used, {entry.problem}")
    module, _, path = entry.value.partition(":")
    found: Any = _module(entry, module)
    for name in filter(None, path.split(".")):
        if not hasattr(found, name):
            raise Mistakes(_broken(entry.name, f"{module} has no {path!r}", did_you_mean(name, dir(found))))
        found = getattr(found, name)
    if not isinstance(found, type) or "__attrs_attrs__" not in vars(found):  # an inherited one lacks the class's own fields
        raise Mistakes(_broken(entry.name, f"{entry.value} is no class with @define(eq=False)"))
    if not found.__doc__:
        raise Mistakes(_broken(entry.name, f"{entry.value} has no docstring, by which people choose it"))
    equality: object = found.__eq__
    if equality is not object.__eq__:  # pluggy compares plugins and refuses the second of two with equal options
        raise Mistakes(_broken(entry.name, f"{entry.value} compares by its options", "write @define(eq=False)"))
    return found


def _module(entry: Installed, name: str) -> ModuleType:
    """Import a plugin's module, and tell a plugin that is not there from one that lacks a dependency and one that breaks."""
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if _package(missing) == _package(name):
            problem = _broken(entry.name, f"there is no module {missing!r}", f"reinstall {entry.distribution}")
        else:
            extras = f"[{','.join(entry.extras)}]" if entry.extras else ""
            what = f"plugin {entry.name!r} cannot be used, its dependency {missing!r} is missing"
            problem = Problem("", what, f"pip install '{entry.distribution}{extras}'")
    except Exception as error:  # noqa: BLE001 -- a plugin may raise anything, and the others still have to be looked at
        message = str(error).partition("\n")[0]
        problem = _broken(entry.name, f"{type(error).__name__}: {message}{_where(error, name)}")
    raise Mistakes(problem)


def _where(error: BaseException, module: str) -> str:
    """The last line of the plugin's own code that an exception came through."""
    lines = [
        f" ({frame.f_code.co_filename}:{line})"
        for frame, line in traceback.walk_tb(error.__traceback__)
        if _package(frame.f_globals.get("__name__", "")) == _package(module)
    ]
    return lines[-1] if lines else ""


def _package(module: str) -> str:
    return module.partition(".")[0]


def _broken(plugin: str, what: str, advice: str = "") -> Problem:
    return Problem("", f"plugin {plugin!r} is broken, {what}", advice)


# ---- its hooks ----------------------------------------------------------------------------------


@frozen
class _Hook:
    """A hook as a plugin implements it."""

    name: str
    function: Callable[..., Any]
    options: Mapping[str, Any]


def _hooks(cls: type, pm: pluggy.PluginManager) -> list[_Hook]:
    """The methods that are marked as hooks, whether or not such hooks exist."""
    marked = ((name, pm.parse_hookimpl_opts(cls, name)) for name in dir(cls))
    return [_Hook(options["specname"] or name, getattr(cls, name), options) for name, options in marked if options]


def _hook_faults(plugin: str, hooks: Iterable[_Hook]) -> Iterator[Problem]:
    """What pluggy would take without a word, or refuse in words that are not the reader's."""
    known = hook_names()
    for hook in hooks:
        if hook.name not in known:
            yield _broken(plugin, f"there is no hook {hook.name!r}", did_you_mean(hook.name, known))
            continue
        arguments = list(inspect.signature(getattr(hookspecs, hook.name)).parameters)
        for fault in (*_colour_faults(hook), *_argument_faults(hook, arguments)):
            yield _broken(plugin, f"its hook {hook.name!r} {fault}")


def _colour_faults(hook: _Hook) -> Iterator[str]:
    if inspect.iscoroutinefunction(hook.function) or inspect.isasyncgenfunction(hook.function):
        yield "is async; return the object that awaits"
    for option in ("tryfirst", "trylast", "wrapper", "hookwrapper"):
        if hook.options[option]:
            yield f"asks for {option}; the order of the configuration is the only order"


def _argument_faults(hook: _Hook, known: list[str]) -> Iterator[str]:
    for parameter in inspect.signature(hook.function).parameters.values():
        if parameter.default is not parameter.empty:
            yield f"has a default for {parameter.name!r}; pluggy passes nothing to such an argument"
        elif parameter.name not in (*known, "self"):
            yield f"has an argument {parameter.name!r}; there are: {', '.join(known)}"


def _misplaced(item: PluginItem, hooks: Iterable[_Hook]) -> Iterator[Problem]:
    """A complaint where a plugin has nothing to do in its section, with the sections in which it has."""
    has = {hook.name for hook in hooks}
    if _STAGES[item.section] and not has.intersection(_STAGES[item.section]):
        fitting = [section for section, names in _STAGES.items() if has.intersection(names)] or ["plugins"]
        what = f"plugin {item.name!r} does not belong in {item.section}, it has no {' or '.join(_STAGES[item.section])}"
        yield Problem("", what, f"move it to {' or '.join(fitting)}")
