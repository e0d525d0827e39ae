"""setup.cfg, the folders and README.md say the same."""

from __future__ import annotations

import importlib
from typing import Any

import attrs
import pytest

from docs import generate
from llmgw.items import SECTIONS
from tests.architecture.tree import PLUGIN_FOLDERS, ROOT, Entry, entries

ROW = 120
"""Characters that a sentence may have in the table of plugins."""


def test_every_folder_is_registered() -> None:
    """Every folder of a plugin has its line in setup.cfg, and every line its folder."""
    folders = {path.parent.name for folder in PLUGIN_FOLDERS for path in (ROOT / folder).glob("*/__init__.py")}

    assert folders == {entry.package for entry in entries()}


def test_every_folder_is_typed() -> None:
    """Every package of ours tells type checkers that it is typed."""
    packages = [path.parent for folder in ("kernel", *PLUGIN_FOLDERS) for path in (ROOT / folder).glob("*/__init__.py")]

    assert [] == [str(package.relative_to(ROOT)) for package in packages if not (package / "py.typed").exists()]


@pytest.mark.parametrize("entry", entries(), ids=lambda entry: entry.name)
def test_entry_is_a_plugin(entry: Entry) -> None:
    """What a line names is an attrs class that is told apart by identity, as the loader demands."""
    cls = plugin_class(entry)

    assert "__attrs_attrs__" in vars(cls)
    assert object.__eq__ is cls.__eq__


@pytest.mark.parametrize("entry", entries(), ids=lambda entry: entry.name)
def test_docstring_begins_with_a_row(entry: Entry) -> None:
    """The first sentence of a plugin's docstring fits a row of README's table, and its Args name every option."""
    cls = plugin_class(entry)
    doc = cls.__doc__ or ""
    sentence = generate.first_sentence(generate.find_class(entry.module, entry.attribute))

    assert sentence.endswith(".")
    assert ROW >= len(sentence)
    assert "|" not in sentence
    assert [] == [name for name in options(cls) if f" {name}: " not in doc]


def test_default_set_is_registered() -> None:
    """What is on by default is a plugin of ours, in a section that exists."""
    defaults = generate.registry("llmgw.defaults")

    assert set() == set(defaults) - {entry.name for entry in entries()}
    assert set() == {value.partition(".")[0] for value in defaults.values()} - set(SECTIONS)


@pytest.mark.parametrize("block", ["plugins", "presets"])
def test_readme_is_generated(block: str) -> None:
    """README's tables are what the generator makes; ``.ci/run`` compares the help of the command line, too."""
    readme = generate.README.read_text()

    stale = "".join(generate.diff(readme, generate.regenerated(readme, [block])))

    assert not stale, f"run: python docs/generate.py\n{stale}"


def plugin_class(entry: Entry) -> Any:
    """The class behind a line; a test without the line's extra installed is skipped."""
    try:
        return getattr(importlib.import_module(entry.module), entry.attribute)
    except ModuleNotFoundError as error:
        if entry.extras and not (error.name or "").startswith("llmgw"):
            pytest.skip(f"needs {error.name}")
        raise


def options(cls: Any) -> list[str]:
    """The options that a plugin itself adds; ``name`` is the loader's, and those of a base class are explained there."""
    return [each.alias for each in attrs.fields(cls) if each.init and not each.inherited and each.alias != "name"]
