"""What Vertex AI has different from the dialects of those whose models it serves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from attrs import evolve

from llmgw import jsons
from llmgw.errors import Unsupported, UpstreamError
from llmgw.model import Loss, Request
from llmgw.splice import KEEP, Kept, merged, splice
from llmgw_dialects.anthropic_messages import AnthropicMessages
from llmgw_dialects.google_gemini import DIALECT as GOOGLE
from llmgw_dialects.google_gemini import GoogleGemini
from llmgw_dialects.losses import Losses
from llmgw_dialects.openai_chat import OpenAIChat
from llmgw_vertex.naming import named

CLAUDE_VERSION: Final = "vertex-2023-10-16"
"""What Vertex AI calls Anthropic's version of 2023-06-01."""
_SAME: Final = "2023-06-01"
_COUNTED: Final = frozenset(
    {"contents", "systemInstruction", "system_instruction", "tools", "generationConfig", "generation_config"}
)
"""Fields of a request that counts tokens; the rest of a prompt has no place there (REST reference, ``countTokens``)."""
_INNER: Final = "generateContentRequest"


class VertexClaude(AnthropicMessages):
    """Anthropic Messages: the model stands in the path, the version in the body.

    Source: https://docs.anthropic.com/en/api/claude-on-vertex-ai, and Anthropic's SDK, which does the same.
    """

    def __init__(self, version: str = CLAUDE_VERSION) -> None:
        self.version = version

    def write_request(self, request: Request, losses: list[Loss] | None = None) -> bytes:
        """Write a request; of a client of this dialect all other bytes are copied."""
        asked = evolve(request, model=named(request.model).model)
        body = super().write_request(asked, losses)
        tree = jsons.loads(body)
        drop = frozenset({"model"}) if request.operation == "generate" else frozenset()
        told = {} if isinstance(tree.get("anthropic_version"), str) else {"anthropic_version": self._version(request)}
        return splice(body, merged(tree, told, drop))

    def forwarded(self, headers: Mapping[str, str]) -> Mapping[str, str]:
        """The betas alone: the version is in the body, and accounts are Google's."""
        return {name: value for name, value in headers.items() if name == "anthropic-beta"}

    def read_error(self, status: int, headers: Mapping[str, str], body: bytes) -> UpstreamError:
        """Classify an error, which is Anthropic's or, where the request never came to the model, Google's."""
        google = _googles(status, headers, body)
        return super().read_error(status, headers, body) if google is None else google

    def _version(self, request: Request) -> str:
        asked = request.headers.get("anthropic-version") if request.dialect == self.name else None
        return self.version if asked in (None, "", _SAME) else str(asked)


class VertexChat(OpenAIChat):
    """Chat Completions of the open models."""

    def write_request(self, request: Request, losses: list[Loss] | None = None) -> bytes:
        """Write a request, for the model as this endpoint calls it: with its publisher, but for Mistral's own."""
        known = named(request.model)
        model = known.model if known.way == "mistral" else f"{known.publisher}/{known.model}"
        return super().write_request(evolve(request, model=model), losses)

    def read_error(self, status: int, headers: Mapping[str, str], body: bytes) -> UpstreamError:
        """Classify an error, which is often one of Google's, in a list."""
        google = _googles(status, headers, body)
        return super().read_error(status, headers, body) if google is None else google


class VertexGemini(GoogleGemini):
    """generateContent: what the Gemini API alone knows is left out.

    Source: google-genai, which refuses these fields for Vertex AI; and Vertex AI's own words for a content that has no role, or
    another than these two: "Please use a valid role: user, model."
    """

    def write_request(self, request: Request, losses: list[Loss] | None = None) -> bytes:
        """Write a request; of a client of this dialect all other bytes are copied."""
        found = Losses(self.name, request.dialect)
        body = super().write_request(request, found.found)
        tree = jsons.loads(body)
        root = (_INNER,) if isinstance(tree.get(_INNER), dict) else ()
        if root:  # only the Gemini API encloses what is to be counted
            tree = tree[_INNER]
            body = splice(body, Kept(root))
        changes, drop = _changes(tree), _dropped(tree)
        if request.operation == "count_tokens":
            drop |= {key for key in tree if key not in _COUNTED}
        for key in sorted(drop - {"model"}):
            found.dropped(key)
        for path in _lost(tree):
            found.found.append(Loss(path, path, "dropped", request.dialect, self.name))
        if losses is not None:
            losses += found.found
        return splice(body, merged(tree, changes, frozenset(drop))) if changes or drop else body

    def forwarded(self, headers: Mapping[str, str]) -> Mapping[str, str]:
        """Nothing: whose quota is used is not the client's to say."""
        return {}


def _dropped(tree: dict[str, Any]) -> set[str]:
    """Fields at the top that the Gemini API alone knows; the model stands in the path."""
    return {"store", "model"} & tree.keys()


_INSIDE: Final = (
    ("generationConfig", "generation_config", "enableEnhancedCivicAnswers", "enable_enhanced_civic_answers"),
    ("toolConfig", "tool_config", "includeServerSideToolInvocations", "include_server_side_tool_invocations"),
)


def _inside(tree: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Fields below the top that the Gemini API alone knows, as object and key, in the spelling that was used."""
    for camel, snake, key, other in _INSIDE:
        for outer in (camel, snake):
            if isinstance(tree.get(outer), dict):
                yield from ((outer, one) for one in (key, other) if one in tree[outer])


def _lost(tree: dict[str, Any]) -> list[str]:
    return [f"{outer}.{key}" for outer, key in _inside(tree)]


def _changes(tree: dict[str, Any]) -> dict[str, Any]:
    """A template of what is not as Vertex AI wants it.

    Raises:
        Unsupported: a tool that runs only in the Gemini API.
    """
    changes: dict[str, Any] = {outer: merged(tree[outer], {}, frozenset({key})) for outer, key in _inside(tree)}
    for n, tool in enumerate(_listed(tree.get("tools"))):
        for key in ("fileSearch", "file_search"):
            if isinstance(tool, dict) and key in tool:
                raise Unsupported(
                    f"Vertex AI has no file search ('tools[{n}].{key}'): leave it out, or ask the back-end 'gemini'.",
                    param=f"tools[{n}].{key}",
                )
    contents = tree.get("contents")
    roles = [_role(content) for content in contents] if isinstance(contents, list) else []
    if any(role is not None for role in roles):
        assert isinstance(contents, list)
        told = zip(contents, roles, strict=True)
        changes["contents"] = [KEEP if role is None else merged(content, {"role": role}) for content, role in told]
    return changes


def _role(content: Any) -> str | None:
    """What a content's role must be; None where it is right, or nobody can tell."""
    if not isinstance(content, dict):
        return None
    return "user" if content.get("role") in (None, "", "function", "tool") else None


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _googles(status: int, headers: Mapping[str, str], body: bytes) -> UpstreamError | None:
    """An error of Google's own making, told by the word for its status; None for one of the model's server."""
    try:
        tree = jsons.loads(body)
    except jsons.JsonError:
        return None
    told = tree[0] if isinstance(tree, list) and tree else tree
    inner = told.get("error") if isinstance(told, dict) else None
    if not isinstance(inner, dict) or not isinstance(inner.get("status"), str):
        return None
    return GOOGLE.read_error(status, headers, body)


GEMINI: Final = VertexGemini()
OPEN: Final = VertexChat(limit="max_tokens")
