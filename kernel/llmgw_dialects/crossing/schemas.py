"""JSON Schema as the provider takes it, for tools and for answers.

Only places where a schema stands are looked into: a property *named* ``pattern`` is data, an enum's values are data. What a
provider has no word for is told to the model in the description. The same schema always gives the same result.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final, Literal

from attrs import evolve

from llmgw import jsons
from llmgw.errors import Unsupported
from llmgw.model import JSON, FunctionTool, OutputFormat, Prompt, Tool
from llmgw_dialects.crossing import json_schema, openapi_schema
from llmgw_dialects.crossing.legs import Step
from llmgw_dialects.crossing.revising import revised, with_tools
from llmgw_dialects.crossing.vendors import ANTHROPIC, OPENAI, RESPONSES, is_google

Form = Literal["full", "subset", "openapi", "plain"]
"""``plain`` is what Anthropic holds answers to: no bounds, and every object closed."""

_DEEPEST: Final = 60
"""Levels of JSON; it keeps walks over a schema, which recur, within what Python allows."""

_FORMS: Final[dict[str, Callable[[dict[str, JSON]], JSON]]] = {
    "full": json_schema.cleaned,
    "subset": json_schema.subset,
    "plain": json_schema.plain,
    "openapi": openapi_schema.written,
}


def adapted(schema: JSON, form: Form, *, openapi: bool = False, rooted: bool = True) -> JSON:
    """A schema in a provider's form.

    Args:
        schema: as the client wrote it; never changed.
        form: what the provider takes.
        openapi: whether it is written in OpenAPI's subset.
        rooted: whether it must describe an object, as a tool's arguments are.

    Raises:
        Unsupported: it is nested deeper than anybody takes.
    """
    if json_schema.depth(schema) > _DEEPEST:
        raise Unsupported(f"A schema is nested deeper than {_DEEPEST} levels; make it flatter.")
    return jsons.loads(_adapted(jsons.dumps(schema), form, openapi, rooted))


@lru_cache(maxsize=1024)
def _adapted(text: bytes, form: Form, openapi: bool, rooted: bool) -> bytes:
    schema = jsons.loads(text)
    if openapi:
        schema = openapi_schema.read(schema)
    schema = json_schema.as_object(schema) if rooted else json_schema.as_schema(schema)
    return jsons.dumps(_FORMS[form](schema))


def is_strict(schema: JSON) -> bool:
    """Whether OpenAI would hold a model to this: each object closed, each of its properties required."""
    return json_schema.is_strict(schema)


class Schemas(Step):
    """Tools and the answer's form with schemas that the provider takes."""

    def prompt(self, prompt: Prompt) -> Prompt:
        """The prompt with such schemas."""
        changed = revised(prompt, tools=with_tools(prompt.tools, self._tool))
        output = prompt.output
        return changed if output is None or output.kind != "json_schema" else revised(changed, output=self._output(output))

    def _tool(self, tool: Tool) -> Tool:
        if not isinstance(tool, FunctionTool):
            return tool
        form: Form = self.leg.profile.schema
        written = tool.schema_dialect == "openapi_subset"
        schema = adapted(tool.schema or {}, form, openapi=written)
        if form != "full" and json_schema.loses(tool.schema):
            self.leg.losses.approximated("tools.schema", "JSON Schema", form, tool)
        changes: dict[str, Any] = {} if schema == tool.schema else {"schema": schema}
        changes |= self._strict(tool, schema)
        dialect = "openapi_subset" if form == "openapi" else "json_schema"
        if dialect != tool.schema_dialect:
            changes["schema_dialect"] = dialect
        return evolve(tool, **changes) if changes else tool

    def _strict(self, tool: FunctionTool, schema: JSON) -> dict[str, Any]:
        """Whether the model is held to the schema: only where the provider takes this schema then, and never unasked."""
        target = self.leg.target
        strict = tool.strict
        if strict and target in OPENAI and self.leg.request.dialect not in OPENAI and not is_strict(schema):
            strict = False
        if strict and target == ANTHROPIC and adapted(schema, "plain") != schema:
            strict = None
        if tool.strict and not strict:
            self.leg.losses.dropped("tools.strict", "true", tool)
        if strict is None and target == RESPONSES:
            strict = False  # which there is not the same as nothing
        return {} if strict == tool.strict else {"strict": strict}

    def _output(self, output: OutputFormat) -> OutputFormat:
        target = self.leg.target
        form: Form = "plain" if target == ANTHROPIC else self.leg.profile.schema
        schema = adapted(output.schema or {}, form, openapi=is_google(self.leg.request.dialect), rooted=False)
        strict = output.strict
        if target in OPENAI and self.leg.request.dialect not in OPENAI:  # whose clients know what they ask for
            strict = is_strict(schema) if strict is None else strict
            if strict and not is_strict(schema):
                self.leg.losses.dropped("response_format.strict", "true")
                strict = False
        if (form == "plain" and schema != output.schema) or (form != "full" and json_schema.loses(output.schema)):
            self.leg.losses.approximated("response_format.schema", "JSON Schema", form)
        return output if (schema, strict) == (output.schema, output.strict) else evolve(output, schema=schema, strict=strict)
