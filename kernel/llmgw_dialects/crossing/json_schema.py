"""JSON Schema, rewritten: made clean, brought down to the keywords that Gemini takes, or closed for Anthropic's answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from llmgw import jsons
from llmgw.model import JSON

Schema = dict[str, Any]

TAKEN: Final = frozenset(
    {"$id", "$defs", "$ref", "$anchor", "type", "format", "title", "description", "enum", "items", "prefixItems", "minItems",
     "maxItems", "minimum", "maximum", "anyOf", "oneOf", "properties", "additionalProperties", "required", "propertyOrdering"}
)  # fmt: skip
"""Gemini's ``parametersJsonSchema`` and ``responseJsonSchema``, by Google's own documentation."""
TYPES: Final = frozenset({"object", "array", "string", "number", "integer", "boolean", "null"})

MOST_FOLLOWED: Final = 200
"""References that are replaced by what they point to in one schema: they could lead to more and more."""
DEEPEST_FOLLOWED: Final = 5

_OF_ONE: Final = ("items", "additionalProperties", "not", "contains", "propertyNames", "if", "then", "else",
                  "unevaluatedItems", "unevaluatedProperties", "additionalItems", "contentSchema")  # fmt: skip
_OF_MANY: Final = ("anyOf", "oneOf", "allOf", "prefixItems", "items")
_NAMED: Final = ("properties", "$defs", "definitions", "patternProperties", "dependentSchemas")
_CONSTRAINTS: Final = (
    "pattern", "minLength", "maxLength", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "uniqueItems", "minProperties",
    "maxProperties", "minContains", "maxContains", "patternProperties", "propertyNames", "contains", "not", "if", "then", "else",
    "dependentRequired", "dependentSchemas", "contentEncoding", "contentMediaType", "default",
)  # fmt: skip
"""What is told in words where there is no keyword for it; the rest says nothing that a model must know."""
_NO_ROOT: Final = frozenset(
    {"type", "properties", "enum", "const", "not", "nullable", "$ref", "$schema", "anyOf", "oneOf", "allOf"}
)
"""What has no place at the root of a tool's schema, or is said anew there."""
_BOUNDS: Final = frozenset({"minimum", "maximum", "maxItems"})


# ---- the places where schemas stand -------------------------------------------------------------


def mapped(schema: Schema, change: Callable[[JSON], JSON]) -> Schema:
    """A schema with each of those directly in it changed; key order and all else stay."""
    out: Schema = {}
    for key, value in schema.items():
        if key in _NAMED and isinstance(value, dict):
            out[key] = {name: change(inner) for name, inner in value.items()}
        elif key in _OF_MANY and isinstance(value, list):
            out[key] = [change(inner) for inner in value]
        elif key in _OF_ONE and isinstance(value, dict):
            out[key] = change(value)
        else:
            out[key] = value
    return out


def walked(schema: JSON) -> Iterator[Schema]:
    """A schema and all in it."""
    left = [schema]
    while left:
        one = left.pop()
        if isinstance(one, dict):
            yield one
            left += _inner(one)


def _inner(schema: Schema) -> Iterator[JSON]:
    for key, value in schema.items():
        if key in _NAMED and isinstance(value, dict):
            yield from value.values()
        elif key in _OF_MANY and isinstance(value, list):
            yield from value
        elif key in _OF_ONE:
            yield value


def depth(value: JSON) -> int:
    """How many levels a value has."""
    deepest, level = 0, [value]
    while level:
        deepest += 1
        level = [
            inner for one in level if isinstance(one, (dict, list)) for inner in (one.values() if isinstance(one, dict) else one)
        ]
    return deepest


def resolved(root: JSON, ref: JSON) -> JSON:
    """What a reference within the same schema points to; None if nothing."""
    if not isinstance(ref, str) or not ref.startswith("#"):
        return None
    at = root
    for step in ref[1:].split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        if isinstance(at, dict):
            at = at.get(name)
        elif isinstance(at, list) and name.isdigit() and int(name) < len(at):
            at = at[int(name)]
        else:
            return None
    return at if isinstance(at, dict) else None


# ---- roots --------------------------------------------------------------------------------------


def as_schema(schema: JSON) -> Schema:
    """Something that is a schema, without the name of its draft."""
    return {key: value for key, value in schema.items() if key != "$schema"} if isinstance(schema, dict) else {}


def as_object(schema: JSON) -> Schema:
    """A schema of an object, as arguments are: nobody takes a reference or an alternative at the root."""
    root = _dereferenced(as_schema(schema))
    root = merged(root, root)
    for key in ("anyOf", "oneOf"):
        branches = root.get(key)
        if isinstance(branches, list):
            found = [branch for one in branches if (branch := _followed(root, one)) is not None]
            root = _joined({name: value for name, value in root.items() if name != key}, found)
    properties = root.get("properties")
    rest = {key: value for key, value in root.items() if key not in _NO_ROOT}
    return {"type": "object", "properties": properties if isinstance(properties, dict) else {}, **rest}


def _dereferenced(root: Schema) -> Schema:
    """A root that is no reference; definitions stay where they are."""
    kept: Schema = {key: root[key] for key in ("$defs", "definitions") if key in root}
    for _ in range(DEEPEST_FOLLOWED):
        target = resolved(root, root.get("$ref"))
        if target is None or target is root:
            break
        rest = {key: value for key, value in root.items() if key != "$ref"}
        root = {**as_schema(target), **rest, **kept}
    return root


def _followed(root: Schema, branch: JSON) -> Schema | None:
    if not isinstance(branch, dict):
        return None
    found = resolved(root, branch.get("$ref")) if "$ref" in branch else branch
    return None if found is None or found.get("type") not in (None, "object") else merged(found, root)


def _joined(root: Schema, branches: list[Schema]) -> Schema:
    """An object of any of these forms: what all require is required."""
    properties: Schema = {}
    for branch in branches:
        for name, value in (branch.get("properties") or {}).items():
            properties.setdefault(name, value)
    needed = [set(branch.get("required") or ()) for branch in branches]
    common = set.intersection(*needed) if needed else set()
    required = list(root.get("required") or ())
    required += [name for name in properties if name in common and name not in required]
    out = {**root, "properties": {**properties, **(root.get("properties") or {})}}
    return {**out, "required": required} if required else out


def merged(schema: Schema, root: JSON, seen: set[int] | None = None) -> Schema:
    """A schema whose ``allOf`` is part of it; of two words on the same thing the first counts."""
    seen = set() if seen is None else seen
    branches = schema.get("allOf")
    if not isinstance(branches, list):
        return schema
    out = {key: value for key, value in schema.items() if key != "allOf"}
    for branch in branches:
        if not isinstance(branch, dict) or id(branch) in seen:
            continue
        found = branch
        if "$ref" in branch:
            target = resolved(root, branch["$ref"])
            if target is None or id(target) in seen:
                continue
            found = {**target, **{key: value for key, value in branch.items() if key != "$ref"}}
            seen.add(id(target))
        seen.add(id(branch))
        _absorb(out, merged(found, root, seen))
    return out


def _absorb(out: Schema, more: Schema) -> None:
    for key, value in more.items():
        if key in ("properties", "$defs", "definitions") and isinstance(value, dict) and isinstance(out.get(key), dict):
            out[key] = {**value, **out[key]}
        elif key == "required" and isinstance(value, list) and isinstance(out.get(key), list):
            out[key] = [*out[key], *(name for name in value if name not in out[key])]
        else:
            out.setdefault(key, value)


# ---- forms --------------------------------------------------------------------------------------


def cleaned(schema: Schema) -> JSON:
    """For those who take all of JSON Schema: arrays say what is in them, and types are types."""
    out = mapped(schema, lambda inner: cleaned(inner) if isinstance(inner, dict) else inner)
    kinds = out.get("type")
    known = [kind for kind in (kinds if isinstance(kinds, list) else [kinds]) if isinstance(kind, str) and kind in TYPES]
    if kinds is not None and not known:
        del out["type"]
    if "array" in known and "items" not in out and "prefixItems" not in out:
        out["items"] = {}
    return out


def subset(schema: Schema) -> JSON:
    """For Gemini: no keyword but those it takes."""
    return _Subset(_hoisted(schema)).made()


def plain(schema: Schema) -> JSON:
    """For Anthropic's answers: objects are closed, bounds are told in words."""
    return _plain(subset(schema))


def is_strict(schema: JSON) -> bool:
    """Whether each object is closed and requires all that it has."""
    return all(
        one.get("additionalProperties") is False and set(one.get("properties") or ()) <= set(one.get("required") or ())
        for one in walked(schema)
        if one.get("type") == "object" or "properties" in one
    )


def loses(schema: JSON) -> bool:
    """Whether something in it is said in words only, once it is brought down to a subset."""
    return any(key in one for one in walked(schema) for key in _CONSTRAINTS)


def _plain(schema: JSON) -> JSON:
    if not isinstance(schema, dict):
        return schema
    bounds = {key for key in schema if key in _BOUNDS or (key == "minItems" and schema[key] not in (0, 1))}
    out = mapped({key: value for key, value in schema.items() if key not in bounds}, _plain)
    if out.get("type") == "object" or "properties" in out:
        out["additionalProperties"] = False
    return told(out, {key: schema[key] for key in schema if key in bounds})


def told(schema: Schema, constraints: Schema) -> Schema:
    """A schema whose description also says these."""
    if not constraints:
        return schema
    words = ", ".join(f"{key}={_spelled(value)}" for key, value in constraints.items())
    before = schema.get("description")
    return {
        **schema,
        "description": f"{before} Constraint: {words}" if isinstance(before, str) and before else f"Constraint: {words}",
    }


def _spelled(value: JSON) -> str:
    return value if isinstance(value, str) else jsons.dumps(value).decode()


def _hoisted(schema: Schema) -> Schema:
    """A schema whose definitions stand under ``$defs``."""
    if not isinstance(schema.get("definitions"), dict):
        return schema
    known = {**schema["definitions"], **(schema.get("$defs") or {})}
    rest = {key: value for key, value in schema.items() if key not in ("definitions", "$defs")}
    return {**rest, "$defs": known}


class _Subset:
    """Brings one schema down; a reference is kept where it is to a definition, and followed elsewhere."""

    def __init__(self, root: Schema) -> None:
        self._root = root
        self._left = MOST_FOLLOWED

    def made(self) -> JSON:
        return self._schema(self._root, ())

    def _schema(self, schema: JSON, within: tuple[str, ...]) -> JSON:
        if not isinstance(schema, dict):
            return {}  # true, or what is no schema at all
        schema = merged(schema, self._root)
        if isinstance(schema.get("$ref"), str):
            return self._ref(schema, within)
        return self._keywords(schema, within)

    def _ref(self, schema: Schema, within: tuple[str, ...]) -> JSON:
        """A reference has no neighbours: one with neighbours, or to elsewhere, is followed if it does not lead in a circle."""
        ref = schema["$ref"].replace("#/definitions/", "#/$defs/", 1)
        target = resolved(self._root, ref)
        siblings = {key: value for key, value in schema.items() if not key.startswith("$")}
        held = {key: self._named(value, within) for key, value in schema.items() if key == "$defs" and isinstance(value, dict)}
        is_definition = ref == "#" or (ref.startswith("#/$defs/") and "/" not in ref[8:])
        if target is not None and (siblings or not is_definition) and self._follows(ref, within):
            found = {key: value for key, value in target.items() if key != "$defs"}
            return {**self._schema({**found, **siblings}, (*within, ref)), **held}
        if target is not None and is_definition:
            return {"$ref": ref, **held}
        return {"type": "object", **held} if target is not None else {**self._keywords(siblings, within), **held}

    def _follows(self, ref: str, within: tuple[str, ...]) -> bool:
        self._left -= 1
        return ref not in within and len(within) < DEEPEST_FOLLOWED and self._left > 0

    def _keywords(self, schema: Schema, within: tuple[str, ...]) -> Schema:
        out: Schema = {}
        for key, value in schema.items():
            if key == "const":
                out.setdefault("enum", [value])
            elif key in ("definitions", "$defs", "properties"):
                self._put_named(out, "$defs" if key == "definitions" else key, value, within)
            elif key in ("anyOf", "oneOf"):
                self._put_branches(out, value, within)
            elif key == "items":
                self._put_items(out, value, within)
            elif key == "prefixItems" and isinstance(value, list):
                out[key] = [self._schema(inner, within) for inner in value]
            elif key == "additionalProperties":
                out[key] = value if isinstance(value, bool) else self._schema(value, within)
            elif key in TAKEN:
                out[key] = value
        _nullable(out, schema)
        if "type" in out and not _is_type(out["type"]):
            del out["type"]
        if "array" in _kinds(out) and "items" not in out and "prefixItems" not in out:
            out["items"] = {}
        return told(out, {key: schema[key] for key in _CONSTRAINTS if key in schema})

    def _named(self, value: Schema, within: tuple[str, ...]) -> Schema:
        return {name: self._schema(inner, within) for name, inner in value.items()}

    def _put_named(self, out: Schema, key: str, value: JSON, within: tuple[str, ...]) -> None:
        if isinstance(value, dict):
            out[key] = {**self._named(value, within), **out.get(key, {})}

    def _put_branches(self, out: Schema, value: JSON, within: tuple[str, ...]) -> None:
        if isinstance(value, list) and value:
            out["anyOf"] = [*out.get("anyOf", ()), *(self._schema(inner, within) for inner in value)]

    def _put_items(self, out: Schema, value: JSON, within: tuple[str, ...]) -> None:
        if isinstance(value, list):  # of an older draft
            out["prefixItems"] = [self._schema(inner, within) for inner in value]
        else:
            out["items"] = self._schema(value, within)


def _nullable(out: Schema, schema: Schema) -> None:
    """``nullable`` is OpenAPI's; JSON Schema has a type for it."""
    kinds = _kinds(out)
    if schema.get("nullable") is True and kinds and "null" not in kinds:
        out["type"] = [*kinds, "null"]


def _kinds(schema: Schema) -> list[str]:
    kinds = schema.get("type")
    return [kind for kind in (kinds if isinstance(kinds, list) else [kinds]) if isinstance(kind, str)]


def _is_type(kinds: JSON) -> bool:
    return bool(kinds) and all(
        isinstance(kind, str) and kind in TYPES for kind in (kinds if isinstance(kinds, list) else [kinds])
    )
