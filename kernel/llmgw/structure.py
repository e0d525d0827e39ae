"""YAML values become attrs objects, strictly, and every mistake comes back with its place.

cattrs builds the objects; what is added here:

- scalars are what they are: cattrs alone reads ``bool("false")`` as True, ``int(1.9)`` as 1, ``list("ab")`` as two items
- text is a value only after ``${NAME}`` and ``${NAME:-otherwise}`` in it are filled in; ``$${`` is a plain ``${``
- a key stands in the environment: a field of type Secret takes ``env:NAME`` or ``${NAME}`` and refuses all else
- all mistakes are told at once, as ``invalid value for type, expected bool, found 'no' @ auth.disable_auth``
"""

from __future__ import annotations

import types
from collections import abc
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from enum import Enum
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

import attrs
from attrs import Attribute, define, field
from cattrs import ClassValidationError, Converter, ForbiddenExtraKeysError, StructureHandlerNotFoundError, override
from cattrs.errors import AttributeValidationNote
from cattrs.gen import make_dict_structure_fn

from llmgw.environment import interpolate, secret
from llmgw.errors import ConfigError
from llmgw.mistakes import Mistakes, Problem, told
from llmgw.nearest import did_you_mean
from llmgw.secret import Secret

T = TypeVar("T")
U = TypeVar("U")
Hook = Callable[[Any, Any], Any]
"""What cattrs calls with a value and a type."""

_LISTS: dict[Any, type] = {
    list: list, abc.MutableSequence: list, tuple: tuple, abc.Sequence: tuple,
    set: set, abc.MutableSet: set, frozenset: frozenset, abc.Set: frozenset,
}  # fmt: skip
"""What a YAML list may become, by the type of the field."""
_MAPPINGS = (dict, abc.MutableMapping, abc.Mapping)


def structure(raw: Any, wanted: type[T], *, path: str, env: Mapping[str, str], also: Iterable[str] = ()) -> T:
    """Make an object of a YAML value.

    Args:
        raw: what the YAML parser gave.
        wanted: an attrs class, or any type that one of its fields may have.
        path: where the value stands.
        env: the environment.
        also: keys that are read elsewhere but may be meant by a misspelt one.

    Raises:
        Mistakes: all that are in it, each with its whole path.
    """
    try:
        made: T = _Structure(env, wanted, tuple(also)).converter.structure(raw, wanted)
    except Mistakes as mistakes:
        raise Mistakes(*mistakes.under(path)) from None
    return made


@define
class Reading:
    """One reading of a file: what is wrong gathers in ``problems``, and reading goes on."""

    env: Mapping[str, str] = field(repr=False)
    problems: list[Problem] = field(factory=list)

    def wrong(self, path: str, what: str, advice: str = "") -> None:
        """Note a mistake."""
        self.problems.append(Problem(path, what, advice))

    def read(self, path: str, raw: Any, wanted: type[T], otherwise: U) -> T | U:
        """Make an object of a value, or note what is wrong and take another."""
        try:
            return structure(raw, wanted, path=path, env=self.env)
        except Mistakes as mistakes:
            self.problems += mistakes.problems
            return otherwise


# ---- the hooks that cattrs calls ----------------------------------------------------------------


@define
class _Structure:
    """How one value is read; a converter with its own hooks, since they close over the environment."""

    env: Mapping[str, str] = field(repr=False)
    top: Any
    also: tuple[str, ...]
    converter: Converter = field(init=False, factory=Converter, repr=False)

    def __attrs_post_init__(self) -> None:
        converter = self.converter
        for kind in (bool, int, float, str, Enum):
            converter.register_structure_hook(kind, self.scalar)
        converter.register_structure_hook(Secret, lambda value, _: secret(value, self.env))
        converter.register_structure_hook(Path, lambda value, _: Path(self.scalar(value, str)))
        for kinds, hook in (
            ((Any, object), self.anything),
            ((Literal,), self.literal),
            ((Union, types.UnionType), self.union),
            (_MAPPINGS, self.mapping),
            (_LISTS, self.sequence),
        ):
            converter.register_structure_hook_func(_is_one_of(kinds), hook)
        converter.register_structure_hook_factory(attrs.has, self.of_class)

    def scalar(self, value: Any, wanted: Any) -> Any:
        if issubclass(wanted, Enum):  # asked first: a StrEnum is also a str
            return self.choice(value, {member.value: member for member in wanted})
        if wanted is float and type(value) is int:
            return float(value)
        if type(value) is not wanted:  # exactly, for a bool is an int
            raise Mistakes.kind(wanted.__name__, value)
        return interpolate(value, self.env) if wanted is str else value

    def choice(self, value: Any, choices: Mapping[Any, Any]) -> Any:
        value = interpolate(value, self.env) if isinstance(value, str) else value
        for each, meant in choices.items():
            if each == value and type(each) is type(value):
                return meant
        raise Mistakes.here(
            f"invalid value, expected one of {', '.join(map(repr, choices))}, found {told(value)}",
            did_you_mean(str(value), map(str, choices)),
        )

    def literal(self, value: Any, wanted: Any) -> Any:
        return self.choice(value, {each: each for each in get_args(wanted)})

    def anything(self, value: Any, _: Any) -> Any:
        match value:
            case str():
                return self.scalar(value, str)
            case list():
                return self.sequence(value, list[Any])
            case dict():
                return self.mapping(value, dict[Any, Any])
            case _:
                return value

    def union(self, value: Any, wanted: Any) -> Any:
        kinds = [kind for kind in get_args(wanted) if kind is not types.NoneType]
        if value is None and len(kinds) < len(get_args(wanted)):
            return None
        if len(kinds) == 1:
            return self.converter.structure(value, kinds[0])
        failures: list[Problem] = []
        for kind in sorted(kinds, key=lambda kind: kind is not type(value)):  # 1 is an int where a float would do too
            try:
                return self.converter.structure(value, kind)
            except Mistakes as mistakes:
                failures += mistakes.problems
        if inner := [problem for problem in failures if problem.path]:  # the kind was right, something in it was not
            raise Mistakes(*inner)
        raise Mistakes.kind(" or ".join(_name(kind) for kind in kinds), value)

    def sequence(self, value: Any, wanted: Any) -> Any:
        if not isinstance(value, list):
            raise Mistakes.kind("a list", value)
        origin, kinds = _origin(wanted), get_args(wanted)
        if origin is not tuple or not kinds or kinds[-1] is Ellipsis:
            kinds = (*kinds, Any)[:1] * len(value)
        if len(kinds) != len(value):
            raise Mistakes.kind(f"a list of {len(kinds)}", value)
        made = self.each((index, f"[{index}]", item, kind) for index, (item, kind) in enumerate(zip(value, kinds, strict=True)))
        return _LISTS[origin](made.values())

    def mapping(self, value: Any, wanted: Any) -> Any:
        if not isinstance(value, dict):
            raise Mistakes.kind("a mapping", value)
        key_kind, kind = get_args(wanted) or (Any, Any)
        for key in value:
            if key_kind is str and not isinstance(key, str):
                raise Mistakes.here(f"invalid key, expected text, found {told(key)}", "put it in quotes")
        return self.each((key, f".{key}", item, kind) for key, item in value.items())

    def each(self, items: Iterable[tuple[Any, str, Any, Any]]) -> dict[Any, Any]:
        """Read the values of a collection, all of them before the first mistake is told."""
        made, problems = {}, list[Problem]()
        for key, step, item, kind in items:
            try:
                made[key] = self.converter.structure(item, kind)
            except Mistakes as mistakes:
                problems += mistakes.under(step)
        if problems:
            raise Mistakes(*problems)
        return made

    def of_class(self, wanted: Any) -> Hook:
        """A hook for an attrs class, whose fields are the keys of a mapping."""
        try:
            attrs.resolve_types(wanted)
        except (NameError, AttributeError) as error:  # imported under TYPE_CHECKING, most likely
            raise Mistakes.here(
                f"{wanted.__name__} is broken, its options need types that are there at run time: {error}"
            ) from None
        fields = [each for each in attrs.fields(wanted) if each.init]
        hooks: dict[str, Any] = {each.name: override(struct_hook=self.of_field(each)) for each in fields}
        build = make_dict_structure_fn(wanted, self.converter, _cattrs_forbid_extra_keys=True, _cattrs_use_alias=True, **hooks)
        # A default like Secret.env("ACME_API_KEY") is read as if the YAML said so.
        secrets = {each.alias: f"env:{each.default.name}" for each in fields if isinstance(each.default, Secret)}
        names = [*(each.alias for each in fields), *(self.also if wanted is self.top else ())]

        def hook(value: Any, _: Any) -> Any:
            if not isinstance(value, dict):
                raise Mistakes.kind("a mapping", value)
            try:
                return build(secrets | value, wanted)
            except ClassValidationError as error:
                raise Mistakes(*_walk(error, names)) from None

        return hook

    def of_field(self, attribute: Attribute[Any]) -> Hook:
        """A hook for one field: its type, then its validator, so that one bad field does not hide another.

        Types are looked up when they are needed: a plugin may have fields, such as a clock, that only its tests set.
        """

        def hook(value: Any, kind: Any) -> Any:
            try:
                made = self.converter.structure(value, Any if kind is None else kind)
            except StructureHandlerNotFoundError:
                if attribute.converter is None:
                    raise Mistakes.here("this cannot be set in a file") from None
                return self.anything(value, kind)
            if attribute.validator is not None and attribute.converter is None:
                with suppress(_Unborn.Asked):
                    attribute.validator(_Unborn(), attribute, made)
            return made

        return hook


class _Unborn:
    """Stands for the object while its fields are validated; validators that look at it run when it is made."""

    class Asked(Exception):
        """A validator wants to compare fields."""

    def __getattr__(self, name: str) -> Any:
        raise self.Asked


def _walk(group: ClassValidationError, names: list[str]) -> Iterator[Problem]:
    """What went wrong in an object, in the words of this module."""
    for error in group.exceptions:
        note = next((note for note in getattr(error, "__notes__", ()) if isinstance(note, AttributeValidationNote)), None)
        step = "" if note is None else f".{note.name.lstrip('_')}"
        match error:
            case Mistakes():
                yield from error.under(step)
            case ForbiddenExtraKeysError():
                for key in sorted(map(str, error.extra_fields)):
                    yield Problem("", f"unknown key {key!r}", did_you_mean(key, names))
            case ConfigError():
                yield from (Problem(step, what) for what in error.problems)
            case RecursionError():  # YAML's aliases can make a list that holds itself
                yield Problem(step, "nested too deeply")
            case KeyError() if note is not None:
                yield Problem(step, "a required option is missing")
            case ValueError() | TypeError() if error.args and isinstance(error.args[0], str):
                yield Problem(step, error.args[0])  # a validator; attrs' own put the attribute behind the message
            case _:
                yield Problem(step, f"{type(error).__name__}: {error}")


def _origin(kind: Any) -> Any:
    """``list`` of ``list[str]``, and of ``list``."""
    return get_origin(kind) or kind


def _is_one_of(kinds: Iterable[Any]) -> Callable[[Any], bool]:
    return lambda kind: _origin(kind) in kinds


def _name(kind: Any) -> str:
    """A type, as a reader of the YAML calls it."""
    origin = _origin(kind)
    if origin in _LISTS:
        return "a list"
    return "a mapping" if origin in _MAPPINGS or attrs.has(origin) else str(getattr(kind, "__name__", kind))
