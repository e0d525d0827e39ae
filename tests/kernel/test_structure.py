from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from enum import Enum, StrEnum
from pathlib import Path
from typing import Any, Literal

import pytest
import yaml
from attrs import Attribute, define, field
from attrs.validators import ge, in_, max_len

from llmgw.mistakes import Mistakes
from llmgw.secret import Secret
from llmgw.stages import Clock
from llmgw.structure import Reading, structure

ENV = {"HOST": "acme.ai", "EMPTY": "", "ACME_API_KEY": "sk-hunter2", "MODE": "fast"}


class Mode(StrEnum):
    """A way."""

    FAST = "fast"
    SLOW = "slow"


class Level(Enum):
    """A height."""

    LOW = 1
    HIGH = 2


@define(eq=False)
class Rule:
    """A nested object."""

    pattern: str
    count: int = 1


@define
class Options:
    """One field of each kind."""

    flag: bool = False
    whole: int = 0
    real: float = 0.0
    text: str = ""
    maybe: str | None = None
    path: Path = Path()
    mode: Mode = Mode.SLOW
    level: Level = Level.LOW
    word: Literal["a", "b", 3] = "a"
    names: list[str] = field(factory=list)
    pair: tuple[int, str] = (0, "")
    many: tuple[int, ...] = ()
    some: Sequence[float] = ()
    unique: frozenset[str] = frozenset()
    headers: dict[str, str] = field(factory=dict)
    counts: Mapping[str, int] = field(factory=dict)
    rule: Rule | None = None
    rules: list[Rule] = field(factory=list)
    either: str | list[str] = ""
    number: float | int = 0
    free: Any = None
    loose: dict[str, Any] = field(factory=dict)
    _hidden: int = 0
    made: int = field(default=7, init=False)


def read(text: str, wanted: Any = Options) -> Any:
    """What a class makes of a piece of YAML."""
    return structure(yaml.safe_load(text), wanted, path="here", env=ENV)


def mistakes(text: str, wanted: Any = Options) -> list[str]:
    """What is wrong with a piece of YAML."""
    with pytest.raises(Mistakes) as caught:
        read(text, wanted)
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("flag: true", "flag", True),
        ("whole: 5", "whole", 5),
        ("real: 1.5", "real", 1.5),
        ("real: 2", "real", 2.0),
        ("text: word", "text", "word"),
        ("maybe: null", "maybe", None),
        ("maybe: word", "maybe", "word"),
        ("path: a/b.yaml", "path", Path("a/b.yaml")),
        ("mode: fast", "mode", Mode.FAST),
        ("mode: ${MODE}", "mode", Mode.FAST),
        ("level: 2", "level", Level.HIGH),
        ("word: b", "word", "b"),
        ("word: 3", "word", 3),
        ("names: [a, b]", "names", ["a", "b"]),
        ("pair: [1, a]", "pair", (1, "a")),
        ("many: [1, 2]", "many", (1, 2)),
        ("some: [1, 2.5]", "some", (1.0, 2.5)),
        ("unique: [a, a]", "unique", frozenset({"a"})),
        ("headers: {x-a: b}", "headers", {"x-a": "b"}),
        ("counts: {a: 1}", "counts", {"a": 1}),
        ("rule: null", "rule", None),
        ("either: a", "either", "a"),
        ("either: [a, '${HOST}']", "either", ["a", "acme.ai"]),
        ("number: 1", "number", 1),
        ("number: 1.5", "number", 1.5),
        ("free: {a: [1, '${HOST}', null]}", "free", {"a": [1, "acme.ai", None]}),
        ("loose: {'${HOST}': '${HOST}'}", "loose", {"${HOST}": "acme.ai"}),
        ("hidden: 4", "_hidden", 4),
    ],
)
def test_takes(text: str, name: str, value: object) -> None:
    """Each kind of option takes what its type says, and keeps the type."""
    found = getattr(read(text), name)

    assert (value, type(value)) == (found, type(found))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("flag: 'false'", "invalid value for type, expected bool, found 'false' @ here.flag"),
        ("flag: 1", "invalid value for type, expected bool, found 1 @ here.flag"),
        ("flag: null", "invalid value for type, expected bool, found nothing @ here.flag"),
        ("whole: true", "invalid value for type, expected int, found true @ here.whole"),
        ("whole: 1.9", "invalid value for type, expected int, found 1.9 @ here.whole"),
        ("whole: '5'", "invalid value for type, expected int, found '5' @ here.whole"),
        ("whole: ${HOST}", "invalid value for type, expected int, found '${HOST}' @ here.whole"),
        ("real: 1e3", "invalid value for type, expected float, found '1e3' @ here.real"),
        ("real: true", "invalid value for type, expected float, found true @ here.real"),
        ("text: null", "invalid value for type, expected str, found nothing @ here.text"),
        ("text: on", "invalid value for type, expected str, found true @ here.text"),
        ("text: 012", "invalid value for type, expected str, found 10 @ here.text"),
        ("text: 12:30:00", "invalid value for type, expected str, found 45000 @ here.text"),
        ("text: [a]", "invalid value for type, expected str, found a list @ here.text"),
        ("maybe: 5", "invalid value for type, expected str, found 5 @ here.maybe"),
        ("path: 5", "invalid value for type, expected str, found 5 @ here.path"),
        ("mode: fats", "invalid value, expected one of 'fast', 'slow', found 'fats' @ here.mode; did you mean 'fast'?"),
        ("level: true", "invalid value, expected one of 1, 2, found true @ here.level"),
        ("word: c", "invalid value, expected one of 'a', 'b', 3, found 'c' @ here.word"),
        ("names: ab", "invalid value for type, expected a list, found 'ab' @ here.names"),
        ("names: {a: b}", "invalid value for type, expected a list, found a mapping @ here.names"),
        ("names: [a, 1]", "invalid value for type, expected str, found 1 @ here.names[1]"),
        ("pair: [1]", "invalid value for type, expected a list of 2, found a list @ here.pair"),
        ("pair: [a, b]", "invalid value for type, expected int, found 'a' @ here.pair[0]"),
        ("headers: [a]", "invalid value for type, expected a mapping, found a list @ here.headers"),
        ("headers: {x-a: 1}", "invalid value for type, expected str, found 1 @ here.headers.x-a"),
        ("headers: {8: a}", "invalid key, expected text, found 8 @ here.headers; put it in quotes"),
        ("rule: a", "invalid value for type, expected a mapping, found 'a' @ here.rule"),
        ("rules: [{pattern: a}, {pattern: 5}]", "invalid value for type, expected str, found 5 @ here.rules[1].pattern"),
        ("rules: [{count: 5}]", "a required option is missing @ here.rules[0].pattern"),
        ("rules: [{patern: a, pattern: b}]", "unknown key 'patern' @ here.rules[0]; did you mean 'pattern'?"),
        ("either: 5", "invalid value for type, expected str or a list, found 5 @ here.either"),
        ("either: [5]", "invalid value for type, expected str, found 5 @ here.either[0]"),
        ("hidden: a", "invalid value for type, expected int, found 'a' @ here.hidden"),
        ("made: 5", "unknown key 'made' @ here; did you mean 'mode'?"),
        ("7: 5", "unknown key '7' @ here"),
        ("text: ${NOPE}", "NOPE is not set @ here.text; export it, or write ${NOPE:-a value}"),
        ("loose: {a: [b, '${NOPE}']}", "NOPE is not set @ here.loose.a[1]; export it, or write ${NOPE:-a value}"),
        ("- a", "invalid value for type, expected a mapping, found a list @ here"),
        ("flag: sk-0123456789abcdef", "invalid value for type, expected bool, found a text of 19 characters @ here.flag"),
    ],
)
def test_refuses(text: str, message: str) -> None:
    """Nothing is coerced: a value of another kind is refused, with its place and what was found."""
    assert [message] == mistakes(text)


def test_all_at_once() -> None:
    """A file with five mistakes needs one run to show them."""
    found = mistakes("{flag: 1, whole: a, tex: b, rules: [{count: a}, 5]}")

    assert [
        "invalid value for type, expected bool, found 1 @ here.flag",
        "invalid value for type, expected int, found 'a' @ here.whole",
        "a required option is missing @ here.rules[0].pattern",
        "invalid value for type, expected int, found 'a' @ here.rules[0].count",
        "invalid value for type, expected a mapping, found 5 @ here.rules[1]",
        "unknown key 'tex' @ here; did you mean 'text'?",
    ] == found


def test_words_read_elsewhere_are_meant_too() -> None:
    """A misspelt key may have meant one that is no option of the class, but only at the top."""
    with pytest.raises(Mistakes) as caught:
        structure({"tpye": "x", "rule": {"tpye": "x", "pattern": ""}}, Options, path="backends.groq", env={}, also=["type"])

    assert [
        "unknown key 'tpye' @ backends.groq.rule",
        "unknown key 'tpye' @ backends.groq; did you mean 'type'?",
    ] == [str(problem) for problem in caught.value.problems]


# ---- secrets


@define(eq=False)
class Keys:
    """Options with keys."""

    api_key: Secret = Secret.env("ACME_API_KEY")
    spare: Secret | None = None
    more: list[Secret] = field(factory=list)


@pytest.mark.parametrize("written", ["env:ACME_API_KEY", "${ACME_API_KEY}"])
def test_a_key_is_named(written: str) -> None:
    """A key is written as the variable that it stands in, alone, as an option or in a list."""
    keys = read(f"{{api_key: '{written}', spare: '{written}', more: ['{written}', 'env:NOPE']}}", Keys)

    assert ["sk-hunter2"] * 3 == [secret.reveal() for secret in (keys.api_key, keys.spare, keys.more[0])]
    assert ("NOPE", False) == (keys.more[1].name, keys.more[1].is_set)


def test_a_default_key_is_looked_up() -> None:
    """What the class says is looked up as if the YAML said it."""
    assert "sk-hunter2" == read("{spare: null}", Keys).api_key.reveal()


def test_looking_up_leaves_the_class_alone() -> None:
    """Two deployments in one process do not see each other's keys."""
    read("{}", Keys)

    assert not Keys().api_key.is_set


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("api_key: sk-hunter2", "here.api_key"),
        ("api_key: null", "here.api_key"),
        ("spare: sk-hunter2", "here.spare"),
        ("more: [env:A, sk-hunter2]", "here.more[1]"),
    ],
)
def test_a_literal_key_is_refused(text: str, path: str) -> None:
    """A key in the file is refused with its place, and does not show in the message."""
    assert [f"a key must not stand in the file @ {path}; write env:NAME and export NAME"] == mistakes(text, Keys)


# ---- what a class says about its fields


@define(eq=False)
class Checked:
    """Fields with validators."""

    low: int = field(default=1, validator=ge(1))
    kind: str = field(default="a", validator=in_(["a", "b"]))
    names: list[str] = field(factory=list, validator=max_len(1))
    high: int = field(default=9)

    @high.validator
    def _(self, attribute: Attribute[int], value: int) -> None:
        if value < self.low:
            raise ValueError("expected no less than low")


def test_validators_speak_with_their_place() -> None:
    """Every field's own check is heard, with the field's path."""
    assert [
        "'low' must be >= 1: 0 @ here.low",
        "'kind' must be in ['a', 'b'] (got 'c') @ here.kind",
        "Length of 'names' must be <= 1: 2 @ here.names",
    ] == mistakes("{low: 0, kind: c, names: [a, b]}", Checked)


def test_a_validator_may_compare_fields() -> None:
    """A check that looks at another field runs when the object is there."""
    assert ["expected no less than low @ here"] == mistakes("{low: 5, high: 3}", Checked)
    assert 5 == read("{low: 5, high: 5}", Checked).high


@define(eq=False)
class Angry:
    """Cannot be made."""

    word: str = ""

    def __attrs_post_init__(self) -> None:
        raise LookupError(self.word)


def test_making_the_object_may_fail() -> None:
    """Whatever a class raises when it is made becomes a message with the place."""
    assert ["LookupError: hmpf @ here"] == mistakes("word: hmpf", Angry)


@define(eq=False)
class Untyped:
    """Its type is there for the type checker only."""

    clock: Cloock  # type: ignore[name-defined]  # noqa: F821 -- that is the point


def test_types_must_be_there() -> None:
    """A class whose annotations cannot be read at run time is told apart from a mistake in the YAML."""
    what = "Untyped is broken, its options need types that are there at run time: name 'Cloock' is not defined @ here"

    assert [what] == mistakes("{}", Untyped)


def test_yaml_may_hold_itself() -> None:
    """A list that holds itself by an alias ends in a message."""
    assert ["nested too deeply @ here.free"] == mistakes("free: &list [*list]")


@define(eq=False)
class Exotic:
    """Fields that no YAML can express."""

    clock: Clock = field(factory=Clock)
    call: Callable[[], int] = int
    pattern: re.Pattern[str] = field(default="", converter=re.compile)


def test_only_tests_set_some_fields() -> None:
    """A field that YAML cannot express is no hindrance until the YAML sets it."""
    assert 0 == read("{}", Exotic).call()
    assert ["this cannot be set in a file @ here.call"] == mistakes("call: x", Exotic)


def test_a_field_may_convert_by_itself() -> None:
    """A field whose own converter makes what YAML cannot express is given the text, filled in."""
    assert re.compile("acme.ai") == read("pattern: ${HOST}", Exotic).pattern


def test_the_kernel_reads_on() -> None:
    """A reading takes something else for what is wrong, and remembers."""
    reading = Reading(ENV)

    assert 7 == reading.read("proxy.port", "x", int, 7)
    assert ["invalid value for type, expected int, found 'x' @ proxy.port"] == [str(each) for each in reading.problems]
