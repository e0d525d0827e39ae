from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from attrs import define, field

from llmgw import listing
from llmgw.errors import ConfigError
from llmgw.hookspecs import hookimpl
from llmgw.secret import Secret
from tests.toys import Toybox, plugin


def state(capsys: pytest.CaptureFixture[str], name: str, path: Path | None = None, **options: Any) -> str:
    """What the list says about a plugin."""
    assert 0 == listing.run(None, path, {}, **options)
    [line] = [line for line in capsys.readouterr().out.splitlines() if f" {name} " in f" {line} "]
    return line


def test_on_and_off(toybox: Toybox, capsys: pytest.CaptureFixture[str]) -> None:
    """It says why a plugin is on, and whether it is named."""
    names = toybox.install(plugin(), plugin())
    file = toybox.folder / "llmgw.yaml"
    file.write_text(f"plugins: [{names[0]}]")

    assert f"on: plugins[0].{names[0]} " in state(capsys, names[0], file)
    assert "off: not named" in state(capsys, names[1], file)
    assert "on by default (frontends)" in state(capsys, "openai-chat", file)
    assert "llmgw-toybox 1" in state(capsys, names[0], file)


def test_why_a_default_is_not_at_work(toybox: Toybox, capsys: pytest.CaptureFixture[str]) -> None:
    """It says which variable is missing, whether the plugin sits out or is not even on."""
    assert "on by default, sits out: LLM_INTERACTIVE_PROXY_API_KEY is not set " in state(capsys, "auth-key")
    assert "off: OPENAI_API_KEY is not set " in state(capsys, "openai")


def test_why_one_that_is_named_is_not_at_work(toybox: Toybox, capsys: pytest.CaptureFixture[str]) -> None:
    """It says where it is named, and what it lacks."""
    file = toybox.folder / "llmgw.yaml"
    file.write_text("plugins: [auth-key]")

    assert "on: plugins[0].auth-key, sits out: LLM_INTERACTIVE_PROXY_API_KEY is not set " in state(capsys, "auth-key", file)


@pytest.mark.parametrize("broken", ["backends: {x: {type: nothing}}", "plugins: [TOY]"])
def test_a_broken_deployment_is_listed(toybox: Toybox, capsys: pytest.CaptureFixture[str], broken: str) -> None:
    """What cannot be built is listed as far as the file tells."""

    def chat_commands(gateway: object) -> None:
        raise ZeroDivisionError

    [name] = toybox.install(plugin(chat_commands=chat_commands))
    file = toybox.folder / "llmgw.yaml"
    file.write_text(broken.replace("TOY", name))

    assert "on by default (plugins)" in state(capsys, "auth-key", file)


def test_nothing_is_imported(toybox: Toybox, capsys: pytest.CaptureFixture[str]) -> None:
    """A plugin that cannot be imported is listed as any other, also when asked how long importing takes."""
    (toybox.folder / "llmgw_other-1.dist-info").mkdir()
    (toybox.folder / "llmgw_other-1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: llmgw-other\nVersion: 1\n")
    (toybox.folder / "llmgw_other-1.dist-info" / "entry_points.txt").write_text("[llmgw]\nother = no_such_module:Other\n")

    assert "off: not named" in state(capsys, "other")
    assert " ms  other" in state(capsys, "other", times=True)


def test_broken(toybox: Toybox, capsys: pytest.CaptureFixture[str]) -> None:
    """Two distributions that bring one name are said to."""
    (toybox.folder / "llmgw_other-1.dist-info").mkdir()
    (toybox.folder / "llmgw_other-1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: llmgw-other\nVersion: 1\n")
    (toybox.folder / "llmgw_other-1.dist-info" / "entry_points.txt").write_text("[llmgw]\necho = x:Y\n")

    assert "broken: llmgw and llmgw-other both bring a plugin of this name" in state(capsys, "echo")


@define(eq=False)
class Rich:
    """Has options.

    Args:
        must: without a default.
    """

    must: int
    word: str = "please"
    items: list[str] = field(factory=list)
    key: Secret = Secret.env("RICH_KEY")
    inner: int = field(default=1, init=False)

    @hookimpl
    def open_filter(self, exchange: object) -> None:
        return None


def test_all_about_one(toybox: Toybox, capsys: pytest.CaptureFixture[str]) -> None:
    """Its documentation, its options with types and defaults, and its hooks; what is no option is not shown."""
    [name] = toybox.install(Rich)

    assert 0 == listing.run(name, None, {})
    assert [
        f"{name} (llmgw-toybox 1, llmgw_toybox:{name.replace('-', '_')})",
        "",
        "Has options.",
        "",
        "Args:",
        "    must: without a default.",
        "",
        "Options:",
        "  must: int (required)",
        "  word: str = 'please'",
        "  items: list[str] = []",
        "  key: Secret = Secret('RICH_KEY', not set)",
        "",
        "Implements: open_filter",
    ] == capsys.readouterr().out.splitlines()


def test_one_that_tells_more(toybox: Toybox, capsys: pytest.CaptureFixture[str]) -> None:
    """What its class describes stands behind the rest."""
    [name] = toybox.install(plugin(describe=staticmethod(lambda: ["it sings", "it dances"])))

    assert 0 == listing.run(name, None, {})
    assert ["", "Also:", "  it sings", "  it dances"] == capsys.readouterr().out.splitlines()[-4:]


def test_one_without_options_or_hooks(toybox: Toybox, capsys: pytest.CaptureFixture[str]) -> None:
    """It is shown all the same."""
    [name] = toybox.install(plugin())

    assert 0 == listing.run(name, None, {})
    assert "Implements: nothing" == capsys.readouterr().out.splitlines()[-1]


def test_one_that_is_not_installed() -> None:
    """It is a mistake, with the nearest name."""
    with pytest.raises(ConfigError, match=r"^no plugin 'ehco' is installed; did you mean 'echo'\?$"):
        listing.run("ehco", None, {})
    with pytest.raises(ConfigError, match=r"^no plugin 'zzz' is installed$"):
        listing.run("zzz", None, {})
