"""Google's own schemas, a part of OpenAPI's, as JSON Schema."""

from __future__ import annotations

from typing import Any, Final

from llmgw.model import JSON
from llmgw_dialects.google_gemini.names import snake

_COUNTS: Final = ("minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties")
_KEYS: Final = {
    snake(key): key
    for key in (
        *_COUNTS, "anyOf", "oneOf", "allOf", "prefixItems", "additionalProperties", "propertyOrdering",
    )
} | {"defs": "$defs", "ref": "$ref"}  # fmt: skip


def json_schema(schema: JSON) -> JSON:
    """A schema in JSON Schema's words: types in lower case, ``nullable`` as a type, counts as numbers.

    What JSON Schema would say already stays as it is.
    """
    if not isinstance(schema, dict):
        return schema
    given: dict[str, Any] = {_KEYS[key] if key in _KEYS else key: value for key, value in schema.items()}  # noqa: SIM401
    out: dict[str, Any] = {}
    for key, value in given.items():
        made = _keyword(key, value)
        if made is not None:
            out[key] = made
    if "example" in out:
        out.setdefault("examples", [out.pop("example")])
    if out.pop("nullable", False) is True:
        _nullable(out)
    return _ordered(out, given.get("propertyOrdering"))


def _keyword(key: str, value: JSON) -> JSON:
    match key:
        case "type":
            return _type(value)
        case "properties" | "$defs" if isinstance(value, dict):
            return {name: json_schema(inner) for name, inner in value.items()}
        case "items" | "additionalProperties":
            return json_schema(value)
        case "anyOf" | "oneOf" | "allOf" | "prefixItems" if isinstance(value, list):
            return [json_schema(inner) for inner in value]
        case "propertyOrdering":
            return None
        case _ if key in _COUNTS and isinstance(value, str) and value.isdigit():
            return int(value)  # 64 bits, which Google writes as a string
        case _:
            return value


def _type(value: JSON) -> JSON:
    if isinstance(value, str):
        return None if value == "TYPE_UNSPECIFIED" else value.lower()
    return [_type(one) for one in value] if isinstance(value, list) else value


def _nullable(schema: dict[str, Any]) -> None:
    kind = schema.get("type")
    if isinstance(kind, str) and kind != "null":
        schema["type"] = [kind, "null"]
    elif isinstance(schema.get("anyOf"), list):
        schema["anyOf"] = [*schema["anyOf"], {"type": "null"}]
    if isinstance(schema.get("enum"), list) and None not in schema["enum"]:
        schema["enum"] = [*schema["enum"], None]


def _ordered(schema: dict[str, Any], order: JSON) -> dict[str, Any]:
    """Properties in the order that the model is to write them in."""
    properties = schema.get("properties")
    if isinstance(properties, dict) and isinstance(order, list):
        first = {name: properties[name] for name in order if isinstance(name, str) and name in properties}
        schema["properties"] = {**first, **properties}
    return schema
