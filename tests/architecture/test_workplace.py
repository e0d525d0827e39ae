"""The project says nothing of the machines it is made on."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.architecture.tree import ROOT

MACHINE = re.compile(rb"(?<![\w./$}-])/(?:work|tmp/venv|Users/\w+|root/\.pyenv|root/\.cache)\b")
"""Absolute paths that exist on one machine; nothing that has a word, a variable or a host before it."""


def test_no_file_names_a_machine() -> None:
    """No file of the project holds an absolute path of somebody's machine."""
    hits = [
        f"{file}:{number}"
        for file in files()
        for number, line in enumerate((ROOT / file).read_bytes().splitlines(), 1)
        if MACHINE.search(line)
    ]

    assert [] == hits


def files() -> list[Path]:
    """The files that git keeps, and those that it would keep if they were added."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    try:
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout.decode()
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this is no git checkout")
    found = (Path(name) for name in listed.split("\0") if name)
    return [file for file in found if (ROOT / file).is_file() and file != Path(__file__).relative_to(ROOT)]
