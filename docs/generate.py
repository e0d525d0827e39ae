"""Writes what pages can be told by the tree: all that stands between ``<!-- NAME -->`` and ``<!-- /NAME -->``.

::

    python docs/generate.py            writes
    python docs/generate.py --check    writes nothing, and exits 1 with a diff where a page is stale

Plugins are read, never imported: one whose extra is not installed has its row all the same. What the dialects carry is found
out by asking them, with the same requests as the tests do (``tests/dialects/probes.py``).
"""

from __future__ import annotations

import argparse
import ast
import difflib
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from configparser import ConfigParser
from importlib import import_module
from pathlib import Path
from typing import Any

import yaml
from attrs import frozen

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
TRANSLATION = ROOT / "docs/translation.md"
PRESETS = ROOT / "backends/llmgw_openai_compatible/presets.yaml"
FOLDERS = ("frontends", "backends", "plugins")

STAGES = {
    "frontend_endpoints": "front-end",
    "chat_commands": "command",
    "open_filter": "filter",
    "route": "route",
    "open_guard": "route",
    "backends": "back-end",
    "open_observer": "observer",
    "authenticate": "authentication",
    "session_key": "session",
    "state_store": "store",
    "extra_routes": "page",
    "add_cli": "command line",
}
"""What a reader calls a plugin that implements a hook; one with several is called by all of them."""


@frozen
class Plugin:
    """A line of the registry, and what the class behind it says.

    Args:
        name: of the entry point.
        stages: in words.
        default: whether, and with which variable, it is on without being named.
        what: the first sentence of the class's docstring, and what must be installed besides.
    """

    name: str
    stages: str
    default: str
    what: str


def main(argv: Sequence[str] | None = None) -> int:
    """Write or check; the exit code."""
    options = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    options.add_argument("--check", action="store_true", help="write nothing; exit 1 with a diff where a page is stale")
    check = options.parse_args(argv).check
    stale = False
    for page, blocks in PAGES.items():
        old = page.read_text()
        new = regenerated(old, blocks, page.name)
        stale |= old != new
        if check:
            sys.stdout.writelines(diff(old, new, page.name))
        else:
            page.write_text(new)
    return int(check and stale)


def regenerated(text: str, blocks: Iterable[str], page: str = "README.md") -> str:
    """A page with these of its blocks made anew.

    Raises:
        SystemExit: it lacks the marks of one.
    """
    for name in blocks:
        found = re.findall(rf"<!-- {name} -->\n.*?<!-- /{name} -->", text, re.DOTALL)
        if len(found) != 1:
            raise SystemExit(f"{page} must have '<!-- {name} -->' and '<!-- /{name} -->' once, each on a line of its own")
        text = text.replace(found[0], f"<!-- {name} -->\n\n{BLOCKS[name]()}\n\n<!-- /{name} -->")
    return text


def diff(old: str, new: str, page: str = "README.md") -> Iterator[str]:
    """What `python docs/generate.py` would change, for people."""
    return difflib.unified_diff(old.splitlines(True), new.splitlines(True), page, f"{page}, as it should be")


# ---- plugins ------------------------------------------------------------------------------------


def plugins_table() -> str:
    """One row for each line of the registry, in its order."""
    rows = [(f"`{plugin.name}`", plugin.stages, plugin.default, plugin.what) for plugin in plugins()]
    return table(("plugin", "stage", "on by default", "what"), rows)


def plugins() -> Iterator[Plugin]:
    """What setup.cfg registers."""
    defaults = registry("llmgw.defaults")
    for name, value in registry("llmgw").items():
        where, _, extra = value.partition("[")
        module, _, attribute = where.strip().partition(":")
        cls = find_class(module, attribute)
        needs = f" Needs `llmgw[{extra.strip(' ]')}]`." if extra else ""
        yield Plugin(name, ", ".join(stages(cls)), _default(defaults.get(name)), first_sentence(cls) + needs)


def registry(group: str) -> dict[str, str]:
    """The entry points of a group, as setup.cfg has them."""
    parser = ConfigParser(interpolation=None, delimiters=("=",))
    parser.read(ROOT / "setup.cfg")
    lines = parser["options.entry_points"].get(group, "").strip().splitlines()
    return {name.strip(): value.strip() for name, _, value in (line.partition("=") for line in lines)}


def find_class(module: str, name: str) -> ast.ClassDef:
    """A class, in the module that an entry point names or in the one that it takes it from.

    Raises:
        LookupError: there is none.
    """
    for node in ast.parse(_file(module).read_text()).body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            return node
        if isinstance(node, ast.ImportFrom) and node.module and any((one.asname or one.name) == name for one in node.names):
            return find_class(node.module, next(one.name for one in node.names if (one.asname or one.name) == name))
    raise LookupError(f"setup.cfg names {module}:{name}, and there is no such class")


def _file(module: str) -> Path:
    path = Path(*module.split("."))
    for folder in FOLDERS:
        for file in (ROOT / folder / path / "__init__.py", (ROOT / folder / path).with_suffix(".py")):
            if file.exists():
                return file
    raise LookupError(f"setup.cfg names {module}, and there is no such module under {', '.join(FOLDERS)}")


def stages(cls: ast.ClassDef) -> list[str]:
    """What a class is, by the hooks it implements."""
    methods = {node.name for node in cls.body if isinstance(node, ast.FunctionDef) and _is_hookimpl(node)}
    return list(dict.fromkeys(word for hook, word in STAGES.items() if hook in methods))


def _is_hookimpl(function: ast.FunctionDef) -> bool:
    return any("hookimpl" in ast.unparse(decorator) for decorator in function.decorator_list)


def first_sentence(cls: ast.ClassDef) -> str:
    """Of its docstring, on one line."""
    text = " ".join((ast.get_docstring(cls) or "").partition("\n\n")[0].split())
    return re.split(r"(?<=[.!?]) (?=[A-Z`])", text, maxsplit=1)[0].replace("``", "`")


def _default(value: str | None) -> str:
    if value is None:
        return ""
    variable = value.partition(".")[2]
    return f"with `{variable}`" if variable else "yes"


# ---- presets, command line ----------------------------------------------------------------------


def presets_table() -> str:
    """The providers that `openai-compatible` knows by name."""
    presets = yaml.safe_load(PRESETS.read_text())
    rows = [(f"`{name}`", one["title"], f"`{one['base_url']}`", _key(one)) for name, one in presets.items()]
    return table(("name", "provider", "base URL", "key"), rows)


def _key(preset: Mapping[str, Any]) -> str:
    names = " or ".join(f"`{name}`" for name in preset.get("key", []))
    return names if preset.get("needs_key", True) else f"{names}, optional" if names else "none"


def cli_help() -> str:
    """What `llmgw --help` and `llmgw serve --help` print on a terminal of 100 columns."""
    return "\n\n".join(_help(*words) for words in ((), ("serve",)))


def _help(*verb: str) -> str:
    env = os.environ | {"COLUMNS": "100", "NO_COLOR": "1", "PYTHONPATH": str(ROOT / "kernel")}
    command = [sys.executable, "-m", "llmgw.cli", *verb, "--help"]
    shown = subprocess.run(command, env=env, stdout=subprocess.PIPE, text=True, check=True).stdout  # noqa: S603 -- our own
    return f"```\n$ llmgw {' '.join([*verb, '--help'])}\n{shown.rstrip()}\n```"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    first, *others = (f"| {' | '.join(cells)} |" for cells in (head, *rows))
    return "\n".join([first, "|---" * len(head) + "|", *others])


# ---- what each pair of dialects carries ---------------------------------------------------------

_MARKS = {"kept": "=", "emulated": "e", "approximated": "~", "dropped": "-", "refused": "400", "lost": "LOST"}


def translation_table() -> str:
    """How each feature of a request gets from each client's dialect into each provider's."""
    sys.path.insert(0, str(ROOT / "tests/dialects"))
    probes, crossings = import_module("probes"), import_module("crossings")
    pairs = crossings.PAIRS

    rows = []
    for probe in probes.PROBES:
        cells = [_MARKS[probes.tried(probe, front, back).verdict] if front in probe.bodies else "" for front, back in pairs]
        rows.append((probe.name, *cells))
    return table(("a request's", *(f"{front}→{back}" for front, back in pairs)), rows)


BLOCKS: dict[str, Callable[[], str]] = {
    "plugins": plugins_table,
    "presets": presets_table,
    "cli": cli_help,
    "translation": translation_table,
}
"""The blocks by their names in the pages."""

PAGES: dict[Path, tuple[str, ...]] = {README: ("plugins", "presets", "cli"), TRANSLATION: ("translation",)}


if __name__ == "__main__":
    sys.exit(main())
