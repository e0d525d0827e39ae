"""``llmgw plugins``: what is installed, what is on and why; or all about one."""

from __future__ import annotations

import importlib
import inspect
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from attrs import NOTHING, Attribute, fields, has

from llmgw import config as configuration
from llmgw import items, plugins
from llmgw.config import Config, PluginItem
from llmgw.errors import ConfigError
from llmgw.nearest import nearest
from llmgw.plugins import Installed


def run(name: str | None, path: Path | None, env: Mapping[str, str], *, times: bool = False) -> int:
    """Print the list, or one plugin.

    Args:
        name: of an entry point; None lists all.
        path: the configuration that decides what is on.
        env: the environment.
        times: import each and say how long it took.

    Returns:
        The exit code.

    Raises:
        ConfigError: the configuration is wrong, or no such plugin is installed.
    """
    found = plugins.installed()
    if name is None:
        config = configuration.load(path, env)
        ordered = sorted(found.values(), key=lambda one: one.name)
        took = [f"{_import_time(one):7.1f} ms  " if times else "" for one in ordered]  # before what is on is imported
        idle, lacking = _idle(config), items.lacking(config.items, env)
        for one, time_ in zip(ordered, took, strict=True):
            print(f"{time_}{one.name:24} {_state(one, config, idle, lacking):36} {one.distribution} {one.version}")
        return 0
    if name not in found:
        close = nearest(name, found)
        raise ConfigError(f"no plugin '{name}' is installed" + (f"; did you mean '{close[0]}'?" if close else ""))
    print("\n".join(describe(found[name])))
    return 0


def _idle(config: Config) -> dict[str, str]:
    """Why plugins sit out, by their places; nothing where the configuration is broken, for the list is wanted then too."""
    from llmgw.gateway import Gateway  # or what it imports would count for no plugin in ``--times``

    with suppress(Exception):  # whatever a plugin raises: `llmgw check` is who tells
        return {item.path: why for item, why in Gateway.build(config).idle}
    return {}


def _state(one: Installed, config: Config, idle: Mapping[str, str], lacking: Mapping[str, str]) -> str:
    if one.problem:
        return f"broken: {one.problem}"
    if on := [item for item in config.items if item.name == one.name]:
        return ", ".join(_why(item, idle.get(item.path)) for item in on)
    return f"off: {lacking[one.name]} is not set" if one.name in lacking else "off: not named"


def _why(item: PluginItem, idle: str | None) -> str:
    if idle is not None:
        return f"{'on by default' if item.default else f'on: {item.path}'}, sits out: {idle}"
    return f"on by default ({item.section})" if item.default else f"on: {item.path}"


def _import_time(one: Installed) -> float:
    """Milliseconds, of what is not imported yet."""
    begin = time.perf_counter()
    with suppress(Exception):  # whatever a broken plugin raises: it is listed as such, it must not break the list
        importlib.import_module(one.value.partition(":")[0])
    return (time.perf_counter() - begin) * 1000


def describe(one: Installed) -> list[str]:
    """A plugin's documentation, its options with their defaults, the hooks it implements, and what else it tells of itself.

    Args:
        one: installed.

    Raises:
        ConfigError: it cannot be imported.
    """
    cls = plugins.load_class(one)
    lines = [f"{one.name} ({one.distribution} {one.version}, {one.value})", "", *inspect.cleandoc(cls.__doc__ or "").splitlines()]
    lines += ["", "Options:"]
    lines += [f"  {_option(option)}" for option in fields(cls) if option.init] if has(cls) else []
    hooks = [name for name in plugins.hook_names() if hasattr(cls, name)]
    more = getattr(cls, "describe", None)
    also = ["", "Also:", *(f"  {line}" for line in more())] if more is not None else []
    return [*lines, "", f"Implements: {', '.join(hooks) or 'nothing'}", *also]


def _option(option: Attribute[Any]) -> str:
    kind = option.type if isinstance(option.type, str) else getattr(option.type, "__name__", str(option.type))
    default: Any = option.default
    name = option.alias or option.name
    if default is NOTHING:
        return f"{name}: {kind} (required)"
    shown = getattr(default, "factory", None)
    return f"{name}: {kind} = {shown() if shown is not None and not getattr(default, 'takes_self', False) else default!r}"
