"""JSON Schema for each provider: only its keywords, no data touched, always the same bytes."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from steps import stepped

from llmgw.errors import Unsupported
from llmgw.model import FunctionTool, Namespace, OutputFormat, Prompt
from llmgw_dialects.crossing import json_schema, openapi_schema
from llmgw_dialects.crossing.schemas import Schemas, adapted, is_strict

# ---- generated ----------------------------------------------------------------------------------

NAMES = st.sampled_from(["a", "b", "pattern", "default", "title", "$ref", "type", "const", "enum", "properties"])
DATA = st.none() | st.booleans() | st.integers(-9, 9) | st.text("xyz", max_size=3)
KINDS = st.sampled_from(["object", "array", "string", "number", "integer", "boolean", "null"])
REFS = st.sampled_from(["#/$defs/a", "#/definitions/b", "#", "#/properties/a", "#/nowhere", "http://x"])
PLAIN: dict[str, st.SearchStrategy[Any]] = {
    "title": st.text("xyz", max_size=3), "description": st.text("xyz", max_size=3), "pattern": st.just("^x$"),
    "minLength": st.integers(0, 3), "minimum": st.integers(), "exclusiveMinimum": st.integers(), "minItems": st.integers(0, 3),
    "default": DATA, "const": DATA, "enum": st.lists(DATA, min_size=1, max_size=3), "format": st.sampled_from(["uri",
    "date-time"]),
    "nullable": st.booleans(), "x-odd": DATA, "uniqueItems": st.booleans(), "examples": st.lists(DATA, max_size=2),
}  # fmt: skip


def schema_of(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    named = st.dictionaries(NAMES, inner, max_size=3)
    branches = st.lists(inner, min_size=1, max_size=2)
    deep = {
        "properties": named, "$defs": named, "definitions": named, "items": inner | branches, "prefixItems": branches,
        "anyOf": branches, "oneOf": branches, "allOf": branches, "additionalProperties": inner, "not": inner,
        "patternProperties": named, "$ref": REFS, "required": st.lists(NAMES, max_size=3, unique=True),
        "type": KINDS | st.lists(KINDS, min_size=1, max_size=2, unique=True) | st.just("any"),
    }  # fmt: skip
    return st.booleans() | st.fixed_dictionaries({}, optional={**PLAIN, **deep})


SCHEMAS = st.recursive(st.booleans() | st.fixed_dictionaries({}, optional=PLAIN), schema_of, max_leaves=4)
ROOTS = schema_of(SCHEMAS).filter(lambda schema: isinstance(schema, dict))


def positions(schema: Any, taken: frozenset[str]) -> Iterator[dict[str, Any]]:
    """All schemas in one, by the keywords that a provider takes; each has only these."""
    assert isinstance(schema, dict), f"{schema!r} is no schema"
    yield schema
    for key, value in schema.items():
        if key in ("properties", "$defs"):
            for inner in value.values():
                yield from positions(inner, taken)
        elif key in ("anyOf", "prefixItems", "oneOf"):
            for inner in value:
                yield from positions(inner, taken)
        elif key == "items" or (key == "additionalProperties" and not isinstance(value, bool)):
            yield from positions(value, taken)


@settings(max_examples=60, deadline=None)
@given(schema=ROOTS, rooted=st.booleans())
def test_gemini_gets_only_its_keywords(schema: Any, rooted: bool) -> None:
    """Whatever a client writes, Gemini sees keywords that it takes, and references without neighbours; twice is as once."""
    before = copy.deepcopy(schema)
    made = adapted(schema, "subset", rooted=rooted)
    assert before == schema
    for one in positions(made, json_schema.TAKEN):
        assert set(one) <= json_schema.TAKEN
        assert "$ref" not in one or all(key.startswith("$") for key in one)
        kinds = one.get("type", [])
        assert set([kinds] if isinstance(kinds, str) else kinds) <= json_schema.TYPES
    assert adapted(made, "subset", rooted=rooted) == made
    assert not rooted or made["type"] == "object"


@settings(max_examples=60, deadline=None)
@given(schema=ROOTS)
def test_openapi_gets_only_its_keywords(schema: Any) -> None:
    """The older form has one type in upper case, no references, enums of texts, and says what is in arrays."""
    made = adapted(schema, "openapi")
    for one in positions(made, openapi_schema.TAKEN):
        assert set(one) <= openapi_schema.TAKEN
        assert one.get("type", "STRING") in {kind.upper() for kind in json_schema.TYPES}
        assert "enum" not in one or (one["type"] == "STRING" and all(isinstance(value, str) and value for value in one["enum"]))
        assert one.get("type") != "ARRAY" or "items" in one
        assert set(one.get("required", ())) <= set(one.get("properties", ()))
        assert "properties" not in one or one["properties"]


@settings(max_examples=60, deadline=None)
@given(schema=ROOTS, form=st.sampled_from(["full", "subset", "plain", "openapi"]))
def test_tools_take_an_object(schema: Any, form: Any) -> None:
    """Arguments are an object everywhere, without alternatives at the root; the same schema gives the same bytes."""
    made = adapted(schema, form)
    assert made["type"] in ("object", "OBJECT")
    assert form == "openapi" or isinstance(made["properties"], dict)
    assert not {"anyOf", "oneOf", "allOf", "$ref", "$schema"} & set(made)
    assert list(made) == list(adapted(copy.deepcopy(schema), form))


@given(names=st.lists(NAMES, min_size=1, unique=True), form=st.sampled_from(["full", "subset", "openapi"]))
def test_names_are_data(names: list[str], form: Any) -> None:
    """Properties may be called like keywords, and values may look like schemas."""
    schema = {"type": "object", "properties": {name: {"type": "string"} for name in names}, "required": names}
    made = adapted(schema, form)
    assert names == list(made["properties"]) == made["required"]


# ---- by hand ------------------------------------------------------------------------------------


def subset(schema: Any) -> Any:
    return adapted({"type": "object", "properties": {"p": schema}}, "subset")["properties"]["p"]


@pytest.mark.parametrize(("schema", "expected"), [
    ({"const": 5}, {"enum": [5]}),
    ({"type": ["string", "null"]}, {"type": ["string", "null"]}),
    ({"type": "string", "nullable": True}, {"type": ["string", "null"]}),
    ({"oneOf": [{"type": "string"}, {"const": 1}]}, {"anyOf": [{"type": "string"}, {"enum": [1]}]}),
    ({"type": "array"}, {"type": "array", "items": {}}),
    ({"type": "array", "items": [{"type": "string"}, True]}, {"type": "array", "prefixItems": [{"type": "string"}, {}]}),
    ({"type": "string", "pattern": "^a", "minLength": 2},
    {"type": "string", "description": "Constraint: pattern=^a, minLength=2"}),
    ({"description": "D.", "default": None}, {"description": "D. Constraint: default=null"}),
    ({"enum": ["pattern", {"const": 5}]}, {"enum": ["pattern", {"const": 5}]}),
    ({"allOf": [{"properties": {"a": {}}, "required": ["a"]}, {"properties": {"b": {}}, "required": ["b"]}], "type": "object"},
     {"type": "object", "properties": {"b": {}, "a": {}}, "required": ["a", "b"]}),
    ({"type": "any"}, {}), (True, {}),
    ({"additionalProperties": {"const": 1}}, {"additionalProperties": {"enum": [1]}}),
    ({"x-odd": 1, "$comment": "c", "deprecated": True, "minimum": 3}, {"minimum": 3}),
])  # fmt: skip
def test_keywords(schema: Any, expected: Any) -> None:
    """Each keyword has its counterpart, or its words."""
    assert expected == subset(schema)


def test_circles() -> None:
    """A reference to a definition stays, one with neighbours is followed once, one to elsewhere is followed."""
    node = {"type": "object", "properties": {"next": {"$ref": "#/definitions/node", "description": "more"}, "v": {"const": 1}}}
    schema = {
        "type": "object",
        "properties": {"n": {"$ref": "#/definitions/node"}, "w": {"$ref": "#/properties/v"}, "v": {"type": "string"},
                       "gone": {"$ref": "#/nope", "title": "t"}},
        "definitions": {"node": node},
    }  # fmt: skip
    made = adapted(schema, "subset")
    assert {"$ref": "#/$defs/node"} == made["properties"]["n"]
    assert {"type": "string"} == made["properties"]["w"] and {"title": "t"} == made["properties"]["gone"]
    inner = made["$defs"]["node"]["properties"]["next"]
    assert "more" == inner["description"] and {"$ref": "#/$defs/node"} == inner["properties"]["next"]
    old = adapted(schema, "openapi")["properties"]["n"]["properties"]["next"]
    assert {"type": "OBJECT", "description": "more Constraint: shape=node"} == old


def test_growth_is_bounded() -> None:
    """Definitions that each name all others do not grow without end."""
    names = [f"d{n}" for n in range(12)]
    each = {"type": "object", "properties": {name: {"$ref": f"#/$defs/{name}", "description": "x"} for name in names}}
    schema = {"$ref": "#/$defs/d0", "$defs": dict.fromkeys(names, each)}
    for form in ("full", "subset", "openapi"):
        assert len(str(adapted(schema, form))) < 1_000_000  # type: ignore[arg-type]  # one of the forms


@pytest.mark.parametrize("key", ["items", "properties"])
def test_depth_is_bounded(key: str) -> None:
    """A schema that nobody could mean is refused, and does not break the walk; one of some depth is not."""
    schema: Any = {}
    for _ in range(20):
        schema = {key: {"a": schema} if key == "properties" else schema}
    for form in ("full", "subset", "plain", "openapi"):
        adapted(schema, form)  # type: ignore[arg-type]  # one of the forms
    for _ in range(400):
        schema = {key: {"a": schema} if key == "properties" else schema}
    with pytest.raises(Unsupported, match="deeper than 60 levels"):
        adapted(schema, "subset")


@pytest.mark.parametrize(("schema", "expected"), [
    ({"$schema": "x", "type": "object", "properties": {}}, {"type": "object", "properties": {}}),
    (None, {"type": "object", "properties": {}}), ({}, {"type": "object", "properties": {}}),
    ({"properties": {"a": {"type": "array"}}}, {"type": "object", "properties": {"a": {"type": "array", "items": {}}}}),
    ({"$ref": "#/$defs/x", "$defs": {"x": {"properties": {"a": {}}}}},
     {"type": "object", "properties": {"a": {}}, "$defs": {"x": {"properties": {"a": {}}}}}),
    ({"oneOf": [{"properties": {"a": {}}, "required": ["a"]}, {"properties": {"a": {}, "b": {}}, "required": ["b", "a"]}]},
     {"type": "object", "properties": {"a": {}, "b": {}}, "required": ["a"]}),
    ({"allOf": [{"properties": {"a": {}}}], "pattern": "x"}, {"type": "object", "properties": {"a": {}}, "pattern": "x"}),
])  # fmt: skip
def test_roots(schema: Any, expected: Any) -> None:
    """A tool's schema is one of an object, whichever way it was written; all else of JSON Schema stays."""
    assert expected == adapted(schema, "full")


def test_a_good_schema_stays() -> None:
    """What a provider takes is not written anew: key order and all."""
    schema = {"properties": {"p": {"pattern": "^a", "type": "string"}}, "type": "object"}
    tool = FunctionTool(name="f", schema=schema, strict=False)
    made = stepped(Schemas, "CS", Prompt(tools=(tool,)))
    assert made.prompt.tools[0] is tool


@pytest.mark.parametrize(("schema", "expected"), [
    ({"type": "OBJECT", "properties": {"a": {"type": "STRING", "nullable": True, "enum": ["x"]}}},
     {"type": "object", "properties": {"a": {"type": ["string", "null"], "enum": ["x", None]}}}),
    ({"type": "OBJECT", "properties": {"a": {"type": "ARRAY", "items": {"type": "TYPE_UNSPECIFIED"}, "minItems": "2"}}},
     {"type": "object", "properties": {"a": {"type": "array", "items": {}, "minItems": 2}}}),
    ({"type": "OBJECT", "properties": {"type": {"anyOf": [{"type": "STRING"}], "nullable": True, "example": 5}}},
     {"type": "object", "properties": {"type": {"anyOf": [{"type": "string"}, {"type": "null"}], "examples": [5]}}}),
])  # fmt: skip
def test_from_openapi(schema: Any, expected: Any) -> None:
    """A Gemini client's schemas are JSON Schema for everybody else."""
    assert expected == adapted(schema, "full", openapi=True)
    tool = FunctionTool(name="f", schema=schema, schema_dialect="openapi_subset")
    made: Any = stepped(Schemas, "GC", Prompt(tools=(tool,))).prompt.tools[0]
    assert (expected, "json_schema") == (made.schema, made.schema_dialect)


@pytest.mark.parametrize(("schema", "expected"), [
    ({"type": ["integer", "null"], "enum": [1, None]},
     {"type": "INTEGER", "nullable": True, "description": 'Constraint: one of=["1"]'}),
    ({"anyOf": [{"type": "null"}, {"type": "string"}, {"type": "integer"}], "description": "d"},
     {"type": "STRING", "nullable": True, "description": "d"}),
    ({"enum": ["a", "", 1]}, {"type": "STRING", "enum": ["a", "1"]}),
    ({"const": "a"}, {"type": "STRING", "enum": ["a"]}),
    ({"type": "string", "format": "uri"}, {"type": "STRING"}),
    ({"type": "string", "format": "date-time"}, {"type": "STRING", "format": "date-time"}),
    ({"type": "object"}, {"type": "OBJECT"}), ({"type": "array"}, {"type": "ARRAY", "items": {}}),
    ({"type": "object", "properties": {"a": {}}, "required": ["a", "b"]},
     {"type": "OBJECT", "properties": {"a": {}}, "required": ["a"]}),
    ({"type": "string", "properties": {"a": {}}, "required": ["a"]}, {"type": "STRING"}),
])  # fmt: skip
def test_to_openapi(schema: Any, expected: Any) -> None:
    """Older models know one type, no references, and only enums of texts."""
    made = adapted({"type": "object", "properties": {"p": schema}}, "openapi")
    assert expected == made["properties"]["p"]


# ---- the step -----------------------------------------------------------------------------------

OPEN = {"type": "object", "properties": {"a": {"type": "string", "pattern": "^x"}}}
CLOSED = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": False}


@pytest.mark.parametrize(("way", "strict", "schema", "expected", "lost"), [
    ("CS", None, OPEN, False, []), ("CS", True, CLOSED, True, []), ("AS", True, OPEN, False, ["tools.strict"]),
    ("AC", None, OPEN, None, []), ("AC", True, CLOSED, True, []), ("AC", True, OPEN, False, ["tools.strict"]),
    ("CA", True, CLOSED, True, []), ("CA", True, OPEN, None, ["tools.strict"]), ("CA", None, OPEN, None, []),
    ("CA", False, OPEN, False, []),
])  # fmt: skip
def test_strict(way: str, strict: bool | None, schema: Any, expected: bool | None, lost: list[str]) -> None:
    """A model is held to a schema only where the provider takes it then; Responses, which holds it unasked, is told not to."""
    made = stepped(Schemas, way, Prompt(tools=(FunctionTool(name="f", schema=schema, strict=strict),)))
    tool: Any = made.prompt.tools[0]
    assert expected is tool.strict and lost == [feature for feature, _ in made.lost]


def test_tools_in_namespaces() -> None:
    """All tools are looked at, wherever they stand, and others left alone."""
    inner = FunctionTool(name="f", schema=OPEN)
    made = stepped(Schemas, "SG", Prompt(tools=(Namespace(name="n", tools=(inner,)),)))
    space: Any = made.prompt.tools[0]
    assert "Constraint: pattern=^x" == space.tools[0].schema["properties"]["a"]["description"]
    assert [("tools.schema", "approximated")] == made.lost


def test_older_gemini() -> None:
    """A model that knows only OpenAPI's subset gets it, and it is marked as that."""
    made = stepped(Schemas, "CG", Prompt(tools=(FunctionTool(name="f", schema=OPEN),)), model="gemini-1.5-pro")
    tool: Any = made.prompt.tools[0]
    assert ("openapi_subset", "OBJECT", "STRING") == (
        tool.schema_dialect,
        tool.schema["type"],
        tool.schema["properties"]["a"]["type"],
    )


def answer(way: str, schema: Any, strict: bool | None = None) -> Any:
    output = OutputFormat(kind="json_schema", schema=schema, strict=strict)
    return stepped(Schemas, way, Prompt(output=output))


def test_answers_for_anthropic() -> None:
    """Claude is held to closed objects without bounds; what goes is said."""
    inner = {"type": "object", "properties": {}}
    properties = {"n": {"type": "integer", "minimum": 3}, "l": {"type": "array", "minItems": 2, "items": inner}}
    made = answer("CA", {"type": "object", "properties": properties})
    assert {
        "type": "object", "additionalProperties": False, "properties": {
            "n": {"type": "integer", "description": "Constraint: minimum=3"},
            "l": {"type": "array", "items": {"type": "object", "properties": {}, "additionalProperties": False},
                  "description": "Constraint: minItems=2"}},
    } == made.prompt.output.schema  # fmt: skip


@pytest.mark.parametrize(("way", "strict", "schema", "expected"), [
    ("AC", None, CLOSED, True), ("AC", None, OPEN, False), ("CS", None, CLOSED, None), ("CS", True, CLOSED, True),
    ("CS", True, OPEN, True),
    ("AC", True, OPEN, False),
])  # fmt: skip
def test_strict_answers(way: str, strict: bool | None, schema: Any, expected: bool) -> None:
    """An answer is held to its schema where OpenAI takes the schema."""
    assert expected is answer(way, schema, strict).prompt.output.strict


def test_an_answer_need_not_be_an_object() -> None:
    """Nothing is added at the root of an answer's schema."""
    assert {"type": "array", "items": {"type": "string"}} == answer(
        "AG", {"$schema": "x", "type": "array", "items": {"type": "string"}}
    ).prompt.output.schema


@pytest.mark.parametrize(("schema", "expected"), [
    (CLOSED, True), (OPEN, False), ({"type": "string"}, True), ({**CLOSED, "required": []}, False),
    ({**CLOSED, "properties": {"a": OPEN}}, False), ({**CLOSED, "properties": {"a": CLOSED}}, True),
])  # fmt: skip
def test_is_strict(schema: Any, expected: bool) -> None:
    """Each object counts, at every place."""
    assert expected is is_strict(schema)
