"""The form of the answer: held to it where the provider can, asked for in words where it cannot."""

from __future__ import annotations

from attrs import evolve

from llmgw import jsons
from llmgw.model import JSON, Instruction, Message, OutputFormat, Prompt, texts
from llmgw_dialects.crossing.json_schema import as_schema, resolved
from llmgw_dialects.crossing.legs import Step
from llmgw_dialects.crossing.notes import with_user
from llmgw_dialects.crossing.revising import revised
from llmgw_dialects.crossing.vendors import OPENAI, is_google

_JSON = "Answer with a JSON value only, without any other text and without code fences."


class Outputs(Step):
    """An answer's form that the model can be held to, or else words that ask for it."""

    def prompt(self, prompt: Prompt) -> Prompt:
        """The prompt with such a form."""
        output = prompt.output
        if output is None or output.kind == "text":
            return prompt
        if output.kind == "mime":
            return self._mime(prompt, output)
        able = self.leg.profile.json_with_tools or not prompt.tools
        if output.kind == "json_schema":
            return self._schema(prompt, output, able)
        if self.leg.profile.json_object and able:
            return self._with_the_word(prompt)
        return self._asked(prompt, _JSON, None)

    def _schema(self, prompt: Prompt, output: OutputFormat, able: bool) -> Prompt:
        known = self.leg.profile
        if known.json_schema and able and (self.leg.target not in OPENAI or _is_object(output.schema)):
            if self.leg.target in OPENAI and output.name is None:
                return revised(prompt, output=evolve(output, name="response"))
            return prompt
        words = f"{_JSON} It must be valid against this JSON Schema: {_written(output.schema)}"
        is_held = known.json_object and able and _is_object(output.schema)
        return self._asked(prompt, words, OutputFormat(kind="json_object") if is_held else None)

    def _asked(self, prompt: Prompt, words: str, output: OutputFormat | None) -> Prompt:
        self.leg.losses.emulated("response_format", "an instruction")
        return evolve(with_user(prompt, words), output=output)

    def _with_the_word(self, prompt: Prompt) -> Prompt:
        """OpenAI answers in JSON only if the conversation speaks of it."""
        if self.leg.target not in OPENAI or _speaks_of_json(prompt):
            return prompt
        self.leg.losses.emulated("response_format.json_object", "an instruction")
        return with_user(prompt, _JSON)

    def _mime(self, prompt: Prompt, output: OutputFormat) -> Prompt:
        if is_google(self.leg.target):
            return prompt
        values = output.schema.get("enum") if isinstance(output.schema, dict) else None
        if output.mime == "text/x.enum" and isinstance(values, list):
            listed = ", ".join(one if isinstance(one, str) else _written(one) for one in values)
            return self._asked(prompt, f"Answer with exactly one of these values and nothing else: {listed}", None)
        if output.mime == "application/json":
            plain = OutputFormat(kind="json_object" if output.schema is None else "json_schema", schema=output.schema)
            return self.prompt(evolve(prompt, output=plain))
        self.leg.losses.dropped("response_format.mime", output.mime or "")
        return evolve(prompt, output=None)


def _is_object(schema: JSON) -> bool:
    """Whether the answer is an object, which OpenAI wants it to be."""
    root = as_schema(schema)
    found = resolved(root, root.get("$ref")) or root
    return found.get("type") in ("object", "OBJECT") or ("type" not in found and "properties" in found)


def _speaks_of_json(prompt: Prompt) -> bool:
    said = (item.parts for item in prompt.items if isinstance(item, (Message, Instruction)))
    return any("json" in texts(parts).lower() for parts in said)


def _written(value: JSON) -> str:
    return jsons.dumps(value).decode()
