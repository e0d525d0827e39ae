"""What of a request Code Assist takes otherwise than the Gemini API, although both have it in the same words.

Code Assist hands requests to Vertex AI (gemini-cli calls them ``VertexGenerateContentRequest``), so what the Gemini API alone
knows is left out, or refused where the answer would be another without it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from llmgw.errors import Unsupported
from llmgw.model import Loss
from llmgw.splice import KEEP, merged
from llmgw_dialects.google_gemini.names import key_of

_INSIDE: Final = (("generationConfig", "enableEnhancedCivicAnswers"), ("toolConfig", "includeServerSideToolInvocations"))
"""Fields that the Gemini API alone knows, by the objects that they stand in."""


def fitted(tree: dict[str, Any], dialect: str, losses: list[Loss]) -> dict[str, Any] | None:
    """A template of the request within the envelope; None where nothing changes.

    Args:
        tree: the request.
        dialect: the client's.
        losses: takes what is left out.

    Raises:
        Unsupported: it needs what only the Gemini API has.
    """
    _refuse(tree)
    changes: dict[str, Any] = {}
    for outer, key in _inside(tree):
        changes[outer] = merged(tree[outer], {}, frozenset({key}))
        losses.append(Loss(f"{outer}.{key}", f"{outer}.{key}", "dropped", dialect, "google.codeassist"))
    contents = tree.get("contents")
    if isinstance(contents, list) and any(_role(content) for content in contents):
        changes["contents"] = [merged(one, {"role": role}) if (role := _role(one)) else KEEP for one in contents]
    return merged(tree, changes) if changes else None


def _refuse(tree: dict[str, Any]) -> None:
    """What is kept at the Gemini API cannot be reached from here."""
    cached = key_of(tree, "cachedContent")
    if tree.get(cached):
        raise Unsupported(
            f"Code Assist has no cached contents ('{cached}'): send them along, or ask the back-end 'gemini'.", param=cached
        )
    tools = tree.get("tools")
    for n, tool in enumerate(tools if isinstance(tools, list) else [tools]):
        key = key_of(tool, "fileSearch") if isinstance(tool, dict) else ""
        if isinstance(tool, dict) and key in tool:
            where = f"tools[{n}].{key}"
            raise Unsupported(f"Code Assist has no file search ('{where}'): leave it out, or ask 'gemini'.", param=where)


def _inside(tree: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Object and field, in the spelling that was used."""
    for name, unknown in _INSIDE:
        outer = key_of(tree, name)
        if isinstance(tree.get(outer), dict) and (key := key_of(tree[outer], unknown)) in tree[outer]:
            yield outer, key


def _role(content: Any) -> str:
    """What a content's role must be; empty where it is right, or nobody can tell: "Please use a valid role: user, model."."""
    return "user" if isinstance(content, dict) and content.get("role") in (None, "", "function", "tool") else ""
