"""Which plugins a deployment has on, with which options and in which order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from attrs import evolve, field, frozen

from llmgw.mistakes import Mistakes, told
from llmgw.nearest import did_you_mean
from llmgw.structure import Reading

SECTIONS = ("frontends", "commands", "filters", "routes", "observers", "backends", "plugins")
"""Where plugins stand in the YAML, in the order in which they are registered."""

_REPLACED = ("frontends", "backends")
"""Sections in which what the YAML names takes the place of the default set."""


@frozen
class PluginItem:
    """One plugin that the deployment names, not yet imported.

    Args:
        name: of its entry point.
        id: of this instance, unique in its section.
        section: one of ``SECTIONS``.
        options: as the YAML has them.
        path: its place in the YAML, as ``filters[1].polite``.
        default: whether it is on without being named.
    """

    name: str
    id: str
    section: str
    options: dict[str, Any] = field(factory=dict, repr=False)  # an unchecked option may be a key
    path: str = ""
    default: bool = False


def read(raw: Mapping[str, Any], reading: Reading, given: Mapping[str, Any] | None = None) -> Iterator[PluginItem]:
    """All plugins in the order of their registration; in a section the default set comes before what the file adds.

    Args:
        raw: the sections of the file.
        reading: gathers what is wrong.
        given: options of plugins from the command line, as ``PLUGIN.OPTION``.
    """
    given = given or {}
    names: set[str] = set()
    for item in _all(raw, reading):
        names.add(item.name)
        options = {key.partition(".")[2]: value for key, value in given.items() if key.partition(".")[0] == item.name}
        yield evolve(item, options={**item.options, **options}) if options else item
    for key in given:
        if key.partition(".")[0] not in names:
            reading.wrong("the command line", f"{key} is set, but {key.partition('.')[0]} is not on")


def flags() -> dict[str, str]:
    """Options of plugins that have a flag of their own on the command line: the flag's name, and ``PLUGIN.OPTION``."""
    from importlib.metadata import PackageNotFoundError, distribution

    try:
        found = distribution("llmgw").entry_points.select(group="llmgw.flags")
    except PackageNotFoundError:  # a checkout that nobody installed
        return {}
    # an entry point's value must be a Python name
    return {one.name: f"{plugin.replace('_', '-')}.{option}" for one in found for plugin, _, option in [one.value.partition(".")]}


def _all(raw: Mapping[str, Any], reading: Reading) -> Iterator[PluginItem]:
    named = {section: list(_named(section, raw.get(section), reading)) for section in SECTIONS}
    defaults = list(_defaults(raw.get("defaults"), named, reading))
    for section in SECTIONS:
        yield from (item for item in defaults if item.section == section)
        yield from named[section]


# ---- what the file names ------------------------------------------------------------------------


def _named(section: str, raw: Any, reading: Reading) -> Iterator[PluginItem]:
    if raw is None:
        return
    ids = set[str]()
    for path, key, options in _entries(section, raw, reading):
        try:
            item = _item(section, path, key, options, reading)
        except Mistakes as mistakes:
            reading.problems += mistakes.under(path)
            continue
        if item.id in ids:
            reading.wrong(path, f"a second {item.id!r} in {section}", "give one of them a name: of its own")
        ids.add(item.id)
        yield item


def _entries(section: str, raw: Any, reading: Reading) -> Iterator[tuple[str, Any, Any]]:
    """The entries of a section: where each stands, its key, its options."""
    kind, advice = (dict, "write ID: {type: NAME}") if section == "backends" else (list, "write - NAME for each plugin")
    if not isinstance(raw, kind):
        expected = "a mapping" if kind is dict else "a list"
        reading.wrong(section, f"invalid value for type, expected {expected}, found {told(raw)}", advice)
    elif isinstance(raw, dict):
        yield from ((f"{section}.{key}", key, options) for key, options in raw.items())
    else:
        for index, entry in enumerate(raw):
            path = f"{section}[{index}]"
            match entry:
                case dict() if len(entry) == 1:
                    key, options = next(iter(entry.items()))
                    yield f"{path}.{key}", key, options
                case dict() if entry:
                    keys = ", ".join(map(repr, entry))
                    reading.wrong(path, f"expected one plugin, found {keys}", "indent options deeper than the plugin's name")
                case str() if entry:
                    yield f"{path}.{entry}", entry, None
                case _:
                    reading.wrong(path, f"expected NAME or NAME: {{options}}, found {told(entry)}")


def _item(section: str, path: str, key: Any, options: Any, reading: Reading) -> PluginItem:
    """One plugin. The key of a back-end is its id, whose option ``type`` names the plugin; elsewhere it is the other way."""
    if not isinstance(key, str) or not key:
        raise Mistakes.here(f"invalid key, expected text, found {told(key)}", "put it in quotes")
    if not isinstance(options, dict | None):
        raise Mistakes.kind("a mapping of options", options)
    options = dict(options or {})
    word = "type" if section == "backends" else "name"
    other = reading.read(f"{path}.{word}", options.pop(word), str, key) if word in options else key
    if section != "backends":
        return PluginItem(key, other, section, options, path)
    if ":" in key:
        raise Mistakes.here("an id may not contain ':', which divides it from the model in ID:MODEL")
    return PluginItem(other, key, section, options, path)


# ---- what is on without being named -------------------------------------------------------------


def _defaults(raw: Any, named: Mapping[str, list[PluginItem]], reading: Reading) -> Iterator[PluginItem]:
    """Members of the default set that the file neither names, nor replaces, nor switches off."""
    switches = {} if raw is None else reading.read("defaults", raw, dict[str, bool], dict[str, bool]())
    default_set = list(_default_set())
    names = [name for name, _, _ in default_set]
    for name in switches:
        if name not in names:
            reading.wrong("defaults", f"{name!r} is not in the default set", did_you_mean(name, names))
    for name, section, variable in default_set:
        replaced = section in _REPLACED and named[section]
        usual = not replaced and (not variable or bool(reading.env.get(variable)))
        is_named = any(name in (item.name, item.id) for item in named[section])
        if switches.get(name, usual) and not is_named:
            yield PluginItem(name, name, section, path=f"defaults.{name}", default=True)


def lacking(on: Iterable[PluginItem], env: Mapping[str, str]) -> dict[str, str]:
    """Members of the default set that only a variable keeps from being on, with that variable.

    Args:
        on: what is on.
        env: the environment.
    """
    replaced = {item.section for item in on if not item.default}.intersection(_REPLACED)
    return {
        name: variable
        for name, section, variable in _default_set()
        if variable and not env.get(variable) and section not in replaced
    }


def _default_set() -> Iterator[tuple[str, str, str]]:
    """Name, section and variable of what our own distribution has on; no other distribution may turn itself on."""
    from importlib.metadata import PackageNotFoundError, distribution

    try:
        entry_points = distribution("llmgw").entry_points.select(group="llmgw.defaults")
    except PackageNotFoundError:  # a checkout that nobody installed
        return
    for entry_point in entry_points:
        section, _, variable = entry_point.value.partition(".")
        yield entry_point.name, section, variable
