"""The subset of OpenAPI's schemas that Google's older fields hold, read into JSON Schema and written from it."""

from __future__ import annotations

from typing import Any, Final

from llmgw import jsons
from llmgw.model import JSON
from llmgw_dialects.crossing.json_schema import DEEPEST_FOLLOWED, MOST_FOLLOWED, TYPES, Schema, mapped, merged, resolved, told

TAKEN: Final = frozenset(
    {"type", "format", "title", "description", "nullable", "enum", "maxItems", "minItems", "properties", "required",
     "minProperties", "maxProperties", "minLength", "maxLength", "pattern", "anyOf", "propertyOrdering", "items", "minimum",
     "maximum"}
)  # fmt: skip
"""Google's ``Schema``, less what older models refuse of it."""
_COUNTS: Final = ("minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties")
_WORDS: Final = ("exclusiveMinimum", "exclusiveMaximum", "multipleOf", "uniqueItems", "additionalProperties", "not")
_FORMATS: Final = {"STRING": ("enum", "date-time"), "NUMBER": ("float", "double"), "INTEGER": ("int32", "int64")}


def read(schema: JSON) -> JSON:
    """JSON Schema for one that Google's clients write: types in lower case, ``nullable`` as a type, counts as numbers."""
    if not isinstance(schema, dict):
        return schema
    out = mapped({key: value for key, value in schema.items() if key not in ("nullable", "propertyOrdering", "example")}, read)
    kind = out.get("type")
    if isinstance(kind, str):
        out["type"] = kind.lower()
        if out["type"] == "type_unspecified":
            del out["type"]
    for key in _COUNTS:  # 64 bits are written as a text
        if isinstance(out.get(key), str) and out[key].isdigit():
            out[key] = int(out[key])
    if schema.get("nullable") is True:
        _let_be_null(out)
    if "example" in schema:
        out.setdefault("examples", [schema["example"]])
    return out


def _let_be_null(out: Schema) -> None:
    if isinstance(out.get("type"), str) and out["type"] != "null":
        out["type"] = [out["type"], "null"]
    elif isinstance(out.get("anyOf"), list) and "type" not in out and {"type": "null"} not in out["anyOf"]:
        out["anyOf"] = [*out["anyOf"], {"type": "null"}]
    if isinstance(out.get("enum"), list) and None not in out["enum"]:
        out["enum"] = [*out["enum"], None]


def written(schema: Schema) -> JSON:
    """OpenAPI's subset for a JSON Schema: no references, one type, enums of texts."""
    return _Written(schema).made()


class _Written:
    """Writes one schema; what refers to itself ends in an object of which nothing is said."""

    def __init__(self, root: Schema) -> None:
        self._root = root
        self._left = MOST_FOLLOWED

    def made(self) -> JSON:
        return self._schema(self._root, ())

    def _schema(self, schema: JSON, within: tuple[str, ...]) -> Schema:
        if not isinstance(schema, dict):
            return {}
        schema = merged(schema, self._root)
        ref = schema.get("$ref")
        if isinstance(ref, str):
            target = resolved(self._root, ref)
            rest = {key: value for key, value in schema.items() if key != "$ref"}
            self._left -= 1
            if target is None or ref in within or len(within) >= DEEPEST_FOLLOWED or self._left < 0:
                return told({"type": "OBJECT", **self._only(rest)}, {"shape": ref.rpartition("/")[2] or "itself"})
            return self._schema({**target, **rest}, (*within, ref))
        return self._keywords(schema, within)

    def _keywords(self, schema: Schema, within: tuple[str, ...]) -> Schema:
        kinds, nullable = self._kinds(schema)
        branches = schema.get("anyOf") or schema.get("oneOf")
        if isinstance(branches, list) and branches and not kinds:
            return self._branches(schema, branches, within, nullable)
        kind = kinds[0] if kinds else self._guessed(schema)
        out: Schema = {**({"type": kind} if kind else {}), **self._only(schema)}
        if nullable:
            out["nullable"] = True
        if out.get("format") not in _FORMATS.get(kind, ()):
            out.pop("format", None)
        self._put_enum(out, schema, kind)
        if kind == "OBJECT":
            self._put_properties(out, schema, within)
        if kind == "ARRAY":
            out["items"] = self._schema(self._items(schema), within)
        return told(out, {key: schema[key] for key in _WORDS if key in schema and not isinstance(schema[key], dict | bool)})

    def _branches(self, schema: Schema, branches: list[JSON], within: tuple[str, ...], nullable: bool) -> Schema:
        """The first alternative that says something; older models know no others."""
        usable = [one for one in branches if isinstance(one, dict) and one.get("type") != "null"]
        nullable = nullable or len(usable) < len(branches)
        rest = {key: value for key, value in schema.items() if key not in ("anyOf", "oneOf")}
        found = usable[0] if usable else {}
        out = self._schema({**found, **{key: value for key, value in rest.items() if key in ("description", "title")}}, within)
        if nullable:
            out["nullable"] = True
        return out

    def _kinds(self, schema: Schema) -> tuple[list[str], bool]:
        given = schema.get("type")
        found = [one.lower() for one in (given if isinstance(given, list) else [given]) if isinstance(one, str)]
        kinds = [one.upper() for one in found if one in TYPES and one != "null"]
        return kinds, "null" in found or schema.get("nullable") is True

    def _guessed(self, schema: Schema) -> str:
        if "properties" in schema:
            return "OBJECT"
        if "items" in schema:
            return "ARRAY"
        return "STRING" if "enum" in schema or "const" in schema else ""

    def _only(self, schema: Schema) -> Schema:
        walked = ("type", "nullable", "enum", "properties", "required", "items", "anyOf", "propertyOrdering")
        return {key: value for key, value in schema.items() if key in TAKEN and key not in walked}

    def _put_enum(self, out: Schema, schema: Schema, kind: str) -> None:
        values = [schema["const"]] if "const" in schema else schema.get("enum")
        if not isinstance(values, list):
            return
        if None in values:
            out["nullable"] = True
        texts = [one if isinstance(one, str) else jsons.dumps(one).decode() for one in values if one not in (None, "")]
        if kind == "STRING" and texts:
            out["enum"] = texts
        elif texts:
            out.update(told(out, {"one of": texts}))

    def _put_properties(self, out: Schema, schema: Schema, within: tuple[str, ...]) -> None:
        given = schema.get("properties")
        properties = {name: self._schema(inner, within) for name, inner in given.items()} if isinstance(given, dict) else {}
        if properties:  # an empty one is refused
            out["properties"] = properties
        required = [name for name in schema.get("required") or () if name in properties]
        if required:
            out["required"] = required

    def _items(self, schema: Schema) -> Any:
        items = schema.get("items", schema.get("prefixItems"))
        return (items[0] if items else {}) if isinstance(items, list) else items
