from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

import pytest

from llmgw import cli
from llmgw.gateway import Gateway
from llmgw.stages import Endpoint
from llmgw.version import VERSION
from tests.toys import TOY, Player, Toybox, plugin, serving


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that switches a plugin on."""
    for name in os.environ:
        if name.endswith(("_KEY", "_TOKEN")):
            monkeypatch.delenv(name)


def verb(name: str = "count", code: int = 0) -> type:
    """A plugin with a verb."""

    def run(args: argparse.Namespace) -> int:
        print(f"counted {args.what}")
        return code

    def add_cli(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
        parser = subparsers.add_parser(name, help="counts")
        parser.add_argument("what")
        parser.add_argument("--config", type=Path)
        parser.set_defaults(run=run)

    return plugin(add_cli=add_cli)


def file_of(toybox: Toybox, *classes: type) -> str:
    """A configuration with these plugins."""
    toybox.config(*classes)
    return str(toybox.folder / "llmgw.yaml")


# ---- exit codes ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words", [[], ["serve", "--port", "many"], ["serve", "--loop", "none"], ["--nothing"], ["check", "extra"]]
)
def test_a_wrong_command_line(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """It ends with 2, and the usage on stderr."""
    with pytest.raises(SystemExit) as caught:
        cli.main(words)

    assert 2 == caught.value.code
    assert capsys.readouterr().err.startswith("usage: llmgw")


def test_an_unknown_verb(capsys: pytest.CaptureFixture[str]) -> None:
    """The verbs that there are are named."""
    with pytest.raises(SystemExit) as caught:
        cli.main(["sreve"])

    assert 2 == caught.value.code
    assert "serve" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--config", "x.yaml", "serve"], ["--config=x.yaml", "serve"], ["--port", "1", "serve"]])
def test_options_before_the_verb(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """It is said where options stand."""
    with pytest.raises(SystemExit) as caught:
        cli.main(words)

    assert 2 == caught.value.code
    assert f"llmgw: error: options stand behind the verb: llmgw serve {words[0]} ...\n" in capsys.readouterr().err


def test_a_wrong_configuration(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It ends with 2, with a line for each mistake, and no traceback."""
    file = tmp_path / "llmgw.yaml"
    file.write_text("proxy: {port: many}\nfilterz: []\n")

    assert 2 == cli.main(["check", "--config", str(file)])
    lines = capsys.readouterr().err.splitlines()
    assert 2 == len(lines) and all(line.startswith("llmgw: ") for line in lines)


def test_a_file_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is a wrong configuration."""
    assert 2 == cli.main(["check", "--config", str(tmp_path / "none.yaml")])
    assert "no such file" in capsys.readouterr().err


def test_interrupted(monkeypatch: pytest.MonkeyPatch, toybox: Toybox) -> None:
    """Ctrl-C ends with 1 and no traceback."""

    def add_cli(subparsers: object) -> None:
        raise KeyboardInterrupt

    assert 1 == cli.main(["count", "--config", file_of(toybox, plugin(add_cli=add_cli))])


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    """The distribution's own."""
    with pytest.raises(SystemExit) as caught:
        cli.main(["--version"])

    assert (0, f"llmgw {VERSION}\n") == (caught.value.code, capsys.readouterr().out)


def test_whoever_reads_may_have_seen_enough() -> None:
    """A pipe that is closed at the other end is no failure, and nothing is complained about."""
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as out:
        done = subprocess.run([sys.executable, "-m", "llmgw.cli", "plugins"], stdout=out, stderr=subprocess.PIPE, check=False)

    assert (0, b"") == (done.returncode, done.stderr)


# ---- check --------------------------------------------------------------------------------------


def test_check_says_that_all_is_well(toybox: Toybox, capsys: pytest.CaptureFixture[str]) -> None:
    """And what would be on."""
    assert 0 == cli.main(["check", "--config", file_of(toybox, serving(Player(name="a"), Player(name="b")))])
    assert "good: 2 plugins, back-ends a, b\n" == capsys.readouterr().out


def test_check_refuses_what_will_not_work(toybox: Toybox, capsys: pytest.CaptureFixture[str]) -> None:
    """A back-end's own problems end it with 2, each with its place."""

    class Ill(Player):
        def problems(self) -> list[str]:
            return ["it has a cold"]

    assert 2 == cli.main(["check", "--config", file_of(toybox, serving(Ill(), Ill(name="b")))])
    assert ("", "llmgw: it has a cold @ backends.toy\nllmgw: it has a cold @ backends.b\n") == capsys.readouterr()


@pytest.mark.parametrize("kind", ["openai", "openai-compatible"])
def test_check_reads_urls(tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str) -> None:
    """A base URL that is none ends it with 2."""
    file = tmp_path / "llmgw.yaml"
    file.write_text(f'backends: {{x: {{type: {kind}, base_url: "ht!tp://[x"}}}}')

    assert 2 == cli.main(["check", "--config", str(file)])
    assert "llmgw: base_url does not begin with http:// or https:// @ backends.x\n" == capsys.readouterr().err


@pytest.mark.parametrize("path", ["/a/{b", "/a/{b:[}", "/a/{b}/{b}"])
def test_check_reads_paths(toybox: Toybox, capsys: pytest.CaptureFixture[str], path: str) -> None:
    """A path that is no pattern ends it with 2, and is named."""

    def frontend_endpoints(gateway: Gateway) -> list[Endpoint]:
        return [Endpoint("POST", "/toy", TOY), Endpoint("POST", path, TOY)]

    assert 2 == cli.main(["check", "--config", file_of(toybox, plugin(frontend_endpoints=frontend_endpoints))])
    assert f"llmgw: a plugin serves a path that is no pattern, '{path}': " in capsys.readouterr().err


# ---- verbs of plugins ---------------------------------------------------------------------------


@pytest.mark.parametrize("code", [0, 3])
@pytest.mark.parametrize("form", ["--config {}", "--config={}"])
def test_a_plugins_verb(toybox: Toybox, capsys: pytest.CaptureFixture[str], code: int, form: str) -> None:
    """It is found in the configuration that the command line names, however it names it, and its exit code counts."""
    words = ["count", "sheep", *form.format(file_of(toybox, verb(code=code))).split(" ")]

    assert code == cli.main(words)
    assert "counted sheep\n" == capsys.readouterr().out


def test_a_verb_of_ours_asks_no_plugin(toybox: Toybox, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command line of the kernel works where a plugin is broken."""
    monkeypatch.setattr(cli, "_ask_plugins", lambda *args: pytest.fail("plugins are asked"))

    assert cli.parser(["plugins"]) and cli.parser([]) and cli.parser(["--version"])


# ---- plugins ------------------------------------------------------------------------------------


def test_plugins(capsys: pytest.CaptureFixture[str]) -> None:
    """What is installed is listed."""
    assert 0 == cli.main(["plugins"])
    assert "echo" in capsys.readouterr().out


def test_a_plugin_that_is_not_installed(capsys: pytest.CaptureFixture[str]) -> None:
    """It ends with 2, with the nearest name."""
    assert 2 == cli.main(["plugins", "ehco"])
    assert "llmgw: no plugin 'ehco' is installed; did you mean 'echo'?\n" == capsys.readouterr().err


# ---- init ---------------------------------------------------------------------------------------


def test_init_writes_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And says what to do with it; the file is one that ``check`` finds good."""
    file = str(tmp_path / "new.yaml")

    assert 0 == cli.main(["init", file])
    assert f"wrote {file}; serve it with: llmgw serve --config {file}\n" == capsys.readouterr().out
    assert 0 == cli.main(["check", "--config", file])


def test_init_overwrites_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Unless it is told to."""
    file = tmp_path / "mine.yaml"
    file.write_text("# mine")

    assert 1 == cli.main(["init", str(file)])
    assert "# mine" == file.read_text()
    assert f"llmgw: {file} is there already; --force writes over it\n" == capsys.readouterr().err

    assert 0 == cli.main(["init", "--force", str(file)])
    assert "# mine" != file.read_text()


def test_init_to_nowhere(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file that cannot be written ends with 1 and the reason."""
    file = tmp_path / "no" / "such.yaml"

    assert 1 == cli.main(["init", str(file)])
    assert f"llmgw: cannot write {file}: No such file or directory\n" == capsys.readouterr().err


def test_init_to_the_screen(capsys: pytest.CaptureFixture[str]) -> None:
    """``-`` writes no file."""
    assert 0 == cli.main(["init", "-"])
    assert "backends:" in capsys.readouterr().out


# ---- serve --------------------------------------------------------------------------------------


def test_serve_reads_its_options() -> None:
    """What is not said is not decided here."""
    args = cli.parser(["serve"]).parse_args(["serve"])

    assert (None, None, None, None, None, 1, "asyncio") == (
        args.config, args.host, args.port, args.default_backend, args.disable_auth, args.workers, args.loop,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("words", "value"), [([], None), (["--anthropic-port", "8001"], 8001), (["--anthropic-port", "next"], "next")]
)
def test_options_of_plugins_with_a_flag(words: list[str], value: object) -> None:
    """A plugin's option may have a flag of its own, whose numbers are numbers."""
    options = vars(cli.parser(["serve"]).parse_args(["serve", *words]))

    assert value == options["anthropic-messages.port"]
