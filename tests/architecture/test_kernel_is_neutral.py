"""The kernel knows no provider, no model and no wire format; what it says of them in passing stands here with its reason."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from tests.architecture.tree import Source, sources

NAMES = re.compile(
    r"(?<![a-z])(anthropic|azure|bedrock|claude|codex|cohere|copilot|deepseek|gemini|google|gpt|grok|groq|kimi|llama|mistral"
    r"|moonshot|ollama|openai|openrouter|perplexity|qwen|vertex|vllm|xai|zai)(?![a-z])",
    re.IGNORECASE,
)
"""Of providers and models."""

FIELDS = re.compile(
    r"candidates|choices|completion_tokens|contents|content_block(_\w+)?|delta|finish_?reason|function_?call|input_tokens|max_tokens"
    r"|message_(delta|start|stop)|output_text|prompt_tokens|response\.\w+|stop_reason|system_?instruction|tool_calls|tool_use"
    r"|usage_?metadata",
    re.IGNORECASE,
)
"""Of wire formats, as they stand between quotes."""

NAMES_ALLOWED = {
    ("hookspecs.py", "gpt"): "what a person writes in a chat",
    ("stages.py", "gpt"): "the same",
    ("stages.py", "openai"): "what a dialect is called, and what a variable may be called",
    ("parts.py", "openai"): "whose word a field of the model took",
    ("parts.py", "gemini"): "the same",
    ("route.py", "llama"): "a model whose name has a colon",
}
"""Examples in docstrings, by file and name; in code there is no exception."""

FIELDS_ALLOWED = {
    ("kinds.py", "max_tokens"): "a kind of stop of ours; dialects translate it",
    ("kinds.py", "tool_use"): "the same",
}
"""Our own words that are also somebody's."""


def test_kernel_names_no_provider() -> None:
    """No provider's and no model's name stands in the kernel's code or comments, and in docstrings only as an example."""
    faults, seen = [], set()
    for source in sources("kernel/llmgw"):
        examples = docstring_lines(source)
        for number, line in enumerate(source.text.splitlines(), 1):
            for found in NAMES.finditer(line):
                key = source.path.name, found[1].lower()
                seen.add(key)
                if number not in examples or key not in NAMES_ALLOWED:
                    faults.append(f"{source}:{number} names {found[1]}")

    assert [] == faults
    assert set() == NAMES_ALLOWED.keys() - seen, "these exceptions are not needed"


def test_kernel_reads_no_wire_field() -> None:
    """No field of a wire format stands in the kernel as a key, in text or in bytes."""
    faults, seen = [], set()
    for source in sources("kernel/llmgw"):
        for line, text in strings(source):
            if (word := text.strip('"')) and FIELDS.fullmatch(word):
                key = source.path.name, word
                seen.add(key)
                if key not in FIELDS_ALLOWED:
                    faults.append(f"{source}:{line} has {word!r}")

    assert [] == faults
    assert set() == FIELDS_ALLOWED.keys() - seen, "these exceptions are not needed"


def docstring_lines(source: Source) -> set[int]:
    """The lines of texts that are statements by themselves: docstrings, also those under a field."""
    return {line for node in docstrings(source) for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)}


def docstrings(source: Source) -> Iterator[ast.Expr]:
    """Texts that nothing is done with."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node


def strings(source: Source) -> Iterator[tuple[int, str]]:
    """All texts and bytes in a file's code, with their lines."""
    ignored = {id(node.value) for node in docstrings(source)}
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Constant) and id(node) not in ignored:
            if isinstance(node.value, bytes):
                yield node.lineno, node.value.decode(errors="replace")
            elif isinstance(node.value, str):
                yield node.lineno, node.value
