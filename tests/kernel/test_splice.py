from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmgw import jsons
from llmgw.splice import KEEP, Kept, merged, same, splice

# ---- texts: values with odd spacing, escapes, spellings of numbers, duplicate keys ---------------

SPACE = st.sampled_from(["", "", "", " ", "\n", "\t \r\n"])
NUMBERS = ["0", "-0", "1.50", "1e3", "1E+3", "12345678901234567890", "0.1e-7", "-0.0"]
CHARACTERS = [
    "a",
    "é",
    "\U0001f600",
    "\\n",
    "\\u0061",
    "\\ud83d\\ude00",
    "\\ud83d",
    "\\/",
    "/",
    '\\"',
    "\\\\",
    "]",
    "}",
    "{",
    "[",
    ",",
    ":",
    " ",
]


@st.composite
def strings(draw: st.DrawFn) -> str:
    """A JSON string, spelt oddly."""
    return '"' + "".join(draw(st.lists(st.sampled_from(CHARACTERS), max_size=6))) + '"'


SCALARS = st.one_of(strings(), st.sampled_from(NUMBERS), st.sampled_from(["true", "false", "null"]))


def _spread(items: list[str], spaces: list[str]) -> str:
    return ",".join(f"{spaces[n % len(spaces)]}{item}{spaces[(n + 1) % len(spaces)]}" for n, item in enumerate(items))


@st.composite
def containers(draw: st.DrawFn, values: st.SearchStrategy[str]) -> str:
    """An array or an object around values."""
    spaces = draw(st.lists(SPACE, min_size=1, max_size=4))
    items = draw(st.lists(values, max_size=4))
    if draw(st.booleans()):
        return f"[{_spread(items, spaces) or draw(SPACE)}]"
    keys = draw(st.lists(strings(), min_size=len(items), max_size=len(items)))
    pairs = [f"{key}{draw(SPACE)}:{draw(SPACE)}{item}" for key, item in zip(keys, items, strict=True)]
    return "{" + (_spread(pairs, spaces) or draw(SPACE)) + "}"


VALUES = st.recursive(SCALARS, containers, max_leaves=12)


@st.composite
def texts(draw: st.DrawFn) -> bytes:
    """A JSON text."""
    return f"{draw(SPACE)}{draw(VALUES)}{draw(SPACE)}".encode()


PLAIN = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**53), 2**53), st.text('aé"\\\n', max_size=4)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text("abc", max_size=2), inner, max_size=3)),
    max_leaves=5,
)


@st.composite
def edited(draw: st.DrawFn, value: Any) -> tuple[Any, Any]:
    """A template for a value, and what it should make of it."""
    choice = draw(st.integers(0, 3))
    if choice == 0 and isinstance(value, dict) and value:
        parts = {key: draw(edited(inner)) for key, inner in value.items()}
        dropped = set(draw(st.lists(st.sampled_from(sorted(value)), max_size=1)))
        added = draw(st.dictionaries(st.sampled_from(["new", "newer"]), PLAIN, max_size=1))
        template = {key: part[0] for key, part in parts.items() if key not in dropped} | added
        return template, {key: part[1] for key, part in parts.items() if key not in dropped} | added
    if choice == 1 and isinstance(value, list) and value:
        elements = [draw(edited(inner)) for inner in value]
        kept = elements[: draw(st.integers(1, len(elements)))]
        more = draw(st.lists(PLAIN, max_size=1))
        return [template for template, _ in kept] + more, [result for _, result in kept] + more
    if choice == 2:
        new = draw(PLAIN)
        return new, new
    return KEEP, value


def read(data: bytes) -> Any:
    """As a provider reads it, lone surrogates and long numbers included."""
    return json.loads(data.decode("utf-8", "surrogatepass"))


# ---- the laws -----------------------------------------------------------------------------------


@given(texts())
def test_keeping_all_changes_no_byte(data: bytes) -> None:
    """KEEP of the whole is the identity, but for the space around it."""
    assert data.strip() == splice(data, KEEP)


@given(texts(), st.data())
def test_what_is_written_is_what_the_template_says(data: bytes, chance: st.DataObject) -> None:
    """Read again, the new text is the old value with its edits."""
    template, expected = chance.draw(edited(read(data)))

    assert same(expected, read(splice(data, template)))


@given(texts(), st.data())
def test_what_is_kept_is_kept_to_the_byte(data: bytes, chance: st.DataObject) -> None:
    """Whatever is changed beside it, the text of a value that is kept stands in the new text."""
    value = read(data)
    if not isinstance(value, dict) or not value:
        return
    kept = chance.draw(st.sampled_from(list(value)))
    template = {key: KEEP if key == kept else 0 for key in value}

    assert splice(data, Kept((kept,))) in splice(data, template)


@given(st.lists(st.tuples(SPACE, SPACE, VALUES, SPACE), min_size=1, max_size=4), st.data())
def test_in_place_all_but_the_changed_stays(members: list[tuple[str, str, str, str]], chance: st.DataObject) -> None:
    """An object of the same keys in the same order is changed in place: not a byte of the rest differs."""
    changed = chance.draw(st.integers(0, len(members) - 1))

    def text(new: str | None) -> bytes:
        pairs = (
            f'{before}"k{n}"{behind}:{behind}{value if new is None or n != changed else new}{after}'
            for n, (before, behind, value, after) in enumerate(members)
        )
        return f"{{{','.join(pairs)}}}".encode()

    template = {f"k{n}": "new" if n == changed else KEEP for n in range(len(members))}
    assert text('"new"') == splice(text(None), template)


def test_an_object_in_place() -> None:
    """Only the value that differs is written."""
    data = b'{ "a" : 1.50 ,\n "b":"\\u0061", "c":[ 1 , 2 ]}'

    assert b'{ "a" : 1.50 ,\n "b":"x", "c":[ 1 , 2 ]}' == splice(data, {"a": KEEP, "b": "x", "c": KEEP})
    assert b'{ "a" : 1.50 ,\n "b":"\\u0061", "c":[ 1 , 3 ]}' == splice(data, {"a": KEEP, "b": KEEP, "c": [KEEP, 3]})


def test_an_object_anew() -> None:
    """With other keys, or in another order, it is written compact around what it keeps."""
    data = b'{ "a" : 1.50 , "b": { "x" : 1e3 } }'

    assert b'{"b":{ "x" : 1e3 },"a":1.50}' == splice(data, {"b": KEEP, "a": KEEP})
    assert b'{"a":1.50,"c":null}' == splice(data, {"a": KEEP, "c": None})


def test_text_from_elsewhere() -> None:
    """A value can move, and stay as it was spelt."""
    data = b'{"a": [1, {"b" : 1.0e0}], "c": 2}'

    assert b'{"moved":1.0e0,"too":{"b" : 1.0e0}}' == splice(data, {"moved": Kept(("a", 1, "b")), "too": Kept(("a", 1))})


def test_of_duplicate_keys_the_last_counts() -> None:
    """As at every vendor."""
    data = b'{"a": 1, "a": 2.0, "b": 3}'

    assert b"2.0" == splice(data, Kept(("a",)))
    assert b'{"a":2.0,"b":4}' == splice(data, {"a": KEEP, "b": 4})


def test_another_kind_of_value() -> None:
    """A dict where an array was, or the reverse, is written anew."""
    assert b'{"a":1}' == splice(b"[1, 2]", {"a": 1})
    assert b"[1]" == splice(b'{"a": 1}', [1])


def test_a_longer_array() -> None:
    """What is kept stays at its place, what is new follows."""
    assert b"[1.0,2.0,3]" == splice(b"[ 1.0 , 2.0 ]", [KEEP, KEEP, 3])


def test_surrogates_survive() -> None:
    """Half a character that a client sent escaped stays escaped."""
    assert b'{"a":"\\ud83d","b":"\\ud83d"}' == splice(b'{"a":"\\ud83d"}', {"a": KEEP, "b": "\ud83d"})


def test_keep_where_nothing_was() -> None:
    """It is a mistake in the template, and not written as something else."""
    with pytest.raises(AssertionError, match="the original has nothing"):
        splice(b'{"a": 1}', {"b": KEEP, "c": KEEP})


# ---- templates ----------------------------------------------------------------------------------


def test_merging() -> None:
    """Known keys keep their place, new ones follow, what is equal is kept as text, what is dropped is gone."""
    original = {"a": 1, "b": 2, "c": 3, "d": 4}

    assert {"a": KEEP, "b": 20, "d": KEEP, "e": 5} == merged(original, {"e": 5, "b": 20, "d": 4}, frozenset({"c"}))


def test_a_change_goes_before_a_drop() -> None:
    """What is given anew is there."""
    assert {"a": 2} == merged({"a": 1}, {"a": 2}, frozenset({"a"}))


@pytest.mark.parametrize(
    ("a", "b"), [(1, True), (1, 1.0), (0, False), ("1", 1), (None, 0), ([1], [True]), ({"a": 1}, {"a": 1.0}), ([1], [1, 2])]
)
def test_json_knows_more_differences_than_python(a: Any, b: Any) -> None:
    """What a provider would take for another value is not the same."""
    assert not same(a, b)


@given(texts())
def test_the_same_is_the_same(data: bytes) -> None:
    """A text read twice gives the same value."""
    assert same(read(data), read(data))
    assert "KEEP" == repr(KEEP)


def test_what_was_read_by_one_can_be_spliced_by_the_other() -> None:
    """Digits beyond what the readers hold stay as text."""
    data = b'{"n": 123456789012345678901234567890.5, "m": 1}'
    jsons.loads(data)

    assert b'{"n": 123456789012345678901234567890.5, "m": 2}' == splice(data, {"n": KEEP, "m": 2})


@pytest.mark.parametrize("number", [b"1" * 5000, b"1e400", b"-" + b"9" * 4301])
def test_no_number_that_is_read_breaks_splicing(number: bytes) -> None:
    """What the reader takes, the splicer can step over, however long it is."""
    data = b'{"n": ' + number + b', "m": 1}'
    try:
        jsons.loads(data)
    except jsons.JsonError:
        return

    assert data.replace(b": 1}", b": 2}") == splice(data, {"n": KEEP, "m": 2})
