from __future__ import annotations

import pytest

from llmgw.environment import interpolate, secret
from llmgw.mistakes import Mistakes

ENV = {"HOST": "acme.ai", "EMPTY": "", "ACME_API_KEY": "sk-hunter2"}


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("https://${HOST}/v1", "https://acme.ai/v1"),
        ("${HOST}${HOST}", "acme.aiacme.ai"),
        ("${NOPE:-localhost}", "localhost"),
        ("${EMPTY:-localhost}", "localhost"),
        ("${HOST:-localhost}", "acme.ai"),
        ("${NOPE:-}", ""),
        ("${EMPTY}", ""),
        ("$${HOST}", "${HOST}"),
        ("$HOST and ${1} and ${", "$HOST and ${1} and ${"),
        ("env:HOST", "env:HOST"),
    ],
)
def test_interpolates(text: str, filled: str) -> None:
    """Variables are filled in as in a shell, and what is no variable stays."""
    assert filled == interpolate(text, ENV)


def test_what_is_filled_in_is_not_read_again() -> None:
    """A variable whose value looks like a variable is text."""
    assert "${HOST}" == interpolate("${A}", {"A": "${HOST}", "HOST": "x"})


@pytest.mark.parametrize("text", ["${NOPE}", "http://${NOPE}/", "${HOST}${NOPE}"])
def test_a_variable_must_be_set(text: str) -> None:
    """A variable that is not set is a mistake, and what else could be written is said."""
    with pytest.raises(Mistakes) as caught:
        interpolate(text, ENV)

    assert ["NOPE is not set @ here; export it, or write ${NOPE:-a value}"] == [str(each) for each in caught.value.under("here")]


@pytest.mark.parametrize("written", ["env:ACME_API_KEY", "${ACME_API_KEY}"])
def test_a_key_is_named(written: str) -> None:
    """A key is written as the variable that it stands in."""
    assert ("ACME_API_KEY", "sk-hunter2") == (secret(written, ENV).name, secret(written, ENV).reveal())


def test_a_key_need_not_be_set() -> None:
    """Whether a key can be done without is for its user to say."""
    assert ("NOPE", False) == (secret("env:NOPE", ENV).name, secret("env:NOPE", ENV).is_set)


@pytest.mark.parametrize(
    "written",
    ["sk-hunter2", 5551234, "env:A sk-hunter2", "Bearer ${ACME_API_KEY}", "${ACME_API_KEY:-sk-hunter2}", None, ["env:A"], "env:"],
)
def test_a_literal_key_is_refused(written: object) -> None:
    """A key in the file is refused with what to write instead, and does not show in the message."""
    with pytest.raises(Mistakes) as caught:
        secret(written, ENV)

    assert ["a key must not stand in the file @ here; write env:NAME and export NAME"] == [
        str(each) for each in caught.value.under("here")
    ]
