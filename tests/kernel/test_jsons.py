from __future__ import annotations

import json

import pytest

from llmgw import jsons


def test_lone_surrogates_are_read() -> None:
    """JavaScript clients send half of a pair, escaped; it is read, as the standard library does."""
    assert {"text": "\ud83d"} == jsons.loads(b'{"text": "\\ud83d"}')


@pytest.mark.parametrize("text", ["\ud83d", "a\ud83d\u00e9", "\ude00\ud83d"])
def test_lone_surrogates_are_written(text: str) -> None:
    """Text that no UTF-8 can hold is written escaped, and reads back as it was."""
    data = jsons.dumps({"text": text})

    assert {"text": text} == json.loads(data)
    assert b"\\ud83d" in data


@pytest.mark.parametrize("data", [b"{", b"NaN", b'{"a": "\\u00e9", "b": NaN}', b"\xff", b'"\xff\\u00e9"', b"[" * 100_000])
def test_what_is_no_json(data: bytes) -> None:
    """Whatever is no JSON ends in one kind of error."""
    with pytest.raises(jsons.JsonError):
        jsons.loads(data)


def test_large_integers_are_written() -> None:
    """An integer beyond 64 bits is written to the digit."""
    assert b'{"n":36893488147419103232}' == jsons.dumps({"n": 2**65})
