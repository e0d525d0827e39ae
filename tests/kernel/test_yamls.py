from __future__ import annotations

import re
from pathlib import Path

import pytest

from llmgw import yamls
from llmgw.errors import ConfigError


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where the YAML stands."""
    return tmp_path / "llmgw.yaml"


@pytest.mark.parametrize("text", ["", "\n", "# nothing but a comment\n", "---\n", "null"])
def test_an_empty_file_is_an_empty_mapping(file: Path, text: str) -> None:
    """A file with nothing in it says nothing."""
    file.write_text(text)

    assert {} == yamls.load(file)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a", "invalid value for type, expected a mapping, found a list @ FILE"),
        ("openai", "invalid value for type, expected a mapping, found 'openai' @ FILE"),
        ("a: 1\nb: 2\na: 3", "the key 'a' stands here a second time, first in line 1 @ FILE, line 3, column 1"),
        ("x: {a: 1, a: 2}", "the key 'a' stands here a second time, first in line 1 @ FILE, line 1, column 11"),
        ("x:\n- a: 1\n  'a': 1", "the key 'a' stands here a second time, first in line 2 @ FILE, line 3, column 3"),
        ("a: [1", "while parsing a flow sequence, expected ',' or ']', but got '<stream end>' @ FILE, line 1, column 6"),
        (
            "\ta: 1",
            "while scanning for the next token, found character '\\t' that cannot start any token @ FILE, line 1, column 1",
        ),
        ("a: !os.system", "could not determine a constructor for the tag '!os.system' @ FILE, line 1, column 4"),
        ("a: 1\n---\nb: 2", "expected a single document in the stream, but found another document @ FILE, line 2, column 1"),
        ("a: *b", "found undefined alias 'b' @ FILE, line 1, column 4"),
        ("a: !!int word", "this is not YAML: invalid literal for int() with base 10: 'word' @ FILE"),
    ],
)
def test_refuses(file: Path, text: str, message: str) -> None:
    """What is wrong with a file is said with its line and column."""
    file.write_text(text)

    with pytest.raises(ConfigError) as caught:
        yamls.load(file)
    assert message == str(caught.value).replace(str(file), "FILE")


def test_refuses_what_is_no_text(file: Path) -> None:
    """Bytes that are no text are no YAML."""
    file.write_bytes(b"a: \x00")

    with pytest.raises(ConfigError, match=f"^this is not YAML: unacceptable character .* @ {re.escape(str(file))}$"):
        yamls.load(file)


def test_a_missing_file(file: Path) -> None:
    """A file that is not there is named."""
    with pytest.raises(ConfigError, match=f"^cannot be read: no such file or directory @ {re.escape(str(file))}$"):
        yamls.load(file)


def test_a_folder(tmp_path: Path) -> None:
    """A folder is no file."""
    with pytest.raises(ConfigError, match=f"^cannot be read: is a directory @ {re.escape(str(tmp_path))}$"):
        yamls.load(tmp_path)


def test_merged_keys_are_no_duplicates(file: Path) -> None:
    """A mapping may override what it merges, and be merged again itself."""
    file.write_text("a: {in: &base {one: 1, two: 1}}\nb: &more {<<: *base, one: 2}\nc: {<<: *more, two: 3}\n")

    assert {"a": {"in": {"one": 1, "two": 1}}, "b": {"one": 2, "two": 1}, "c": {"one": 2, "two": 3}} == yamls.load(file)


def test_dates_are_text(file: Path) -> None:
    """A version that looks like a date is the text that it is."""
    file.write_text("api_version: 2026-01-01")

    assert {"api_version": "2026-01-01"} == yamls.load(file)
