"""Requests: read lazily, written back to the byte where nobody changed anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import unquote

from llmgw import jsons
from llmgw.errors import InvalidField
from llmgw.model import JSON, Loss, Prompt, RawDoc, Request
from llmgw.splice import KEEP, Kept, Path, merged, splice
from llmgw.stages import Head
from llmgw_dialects import envelope
from llmgw_dialects.google_gemini.contents import check_contents, read_items
from llmgw_dialects.google_gemini.docs import GeminiDoc
from llmgw_dialects.google_gemini.edits import Edits
from llmgw_dialects.google_gemini.names import NAME, key_of
from llmgw_dialects.google_gemini.settings import read_settings, write_settings
from llmgw_dialects.google_gemini.tools import read_tools, write_tools
from llmgw_dialects.google_gemini.turns import write_items
from llmgw_dialects.losses import Losses
from llmgw_dialects.opening import object_in

FRAMING: Final = ":framing"
"""Among a request's headers: ``array`` if the client wants its stream as one array, not as server-sent events."""
_PEEK: Final = jsons.peeker({"contents": [{"role": str | None}]})
_INNER: Final = "generateContentRequest"

# ---- reading ------------------------------------------------------------------------------------


def read_request(head: Head, body: bytes, headers: Mapping[str, str]) -> Request:
    """Read what routing needs, and look no deeper than the roles of the contents.

    Args:
        head: holds the model and the method, in its path.
        body: as it came.
        headers: those that mean something to a provider.
    """
    model, method = asked(head)
    stream = method == "streamGenerateContent"
    counts = head.operation == "count_tokens" or method == "countTokens"
    tree: JSON = None
    root: Path = ()
    if not _peeked(body):
        tree, root = read_body(body)
    doc = GeminiDoc(NAME, body, model, stream, stream, tree, root)
    if stream and head.query.get("alt") != "sse":
        headers = {**headers, FRAMING: "array"}
    return Request(
        dialect=NAME,
        model=model,
        stream=stream,
        stream_usage=stream,
        operation="count_tokens" if counts else "generate",
        raw=doc,
        headers=headers,
        load=read_prompt,
    )


def asked(head: Head) -> tuple[str, str]:
    """The model and the method that a path names; a model's own name may hold slashes and colons."""
    name, _, method = head.path.rpartition(":")
    model = head.match.get("model") or unquote(name.rpartition("/models/")[2])
    if not model:
        raise InvalidField("You must name a model, in the path: /v1beta/models/MODEL:generateContent.", param="model")
    return model.removeprefix("models/"), method


def method(request: Request) -> str:
    """What stands behind the model in the path that a request goes to; a stream is asked for in the client's own framing."""
    if request.operation == "count_tokens":
        return "countTokens"
    if not request.stream:
        return "generateContent"
    return "streamGenerateContent" if request.headers.get(FRAMING) == "array" else "streamGenerateContent?alt=sse"


def _peeked(body: bytes) -> bool:
    """Whether a body is sound, as far as routing must know; False where it must be read to be understood."""
    seen = _PEEK(body) if _PEEK is not None else None
    return seen is not None and bool(seen.contents)


def read_body(body: bytes) -> tuple[dict[str, Any], Path]:
    """A body, read, and where in it the request stands; or what is wrong with it."""
    tree = loaded(body)
    key = key_of(tree, _INNER)
    root: Path = (key,) if isinstance(tree.get(key), dict) else ()
    check_contents(tree[key] if root else tree, root)
    return tree, root


def loaded(body: bytes) -> dict[str, Any]:
    """A body, read.

    Raises:
        BadRequest: it is no JSON object.
    """
    return object_in(body, '{"contents": [{"parts": [{"text": …}]}]}')


def read_prompt(raw: RawDoc) -> Prompt:
    """Read all that the model is told.

    Raises:
        InvalidField: a field we know is of a type that it cannot have.
    """
    assert isinstance(raw, GeminiDoc)
    inner = raw.inner
    return Prompt(items=read_items(raw), tools=read_tools(inner, raw, raw.root), **read_settings(inner, raw.root))


# ---- writing ------------------------------------------------------------------------------------


def encode_request(request: Request) -> tuple[bytes, list[Loss]]:
    """Write a request for a provider.

    Returns:
        The body, and what it could not say.
    """
    losses = Losses(NAME, request.dialect)
    raw = request.raw
    if not isinstance(raw, GeminiDoc):
        return jsons.dumps(_addressed(written(request, losses), request)), losses.found
    if raw.dialect != NAME:
        return _unwrapped(request, raw, losses), losses.found
    changes = _renamed(request, raw)
    if request.untouched and not changes and not may_be_sealed(raw.data):
        return raw.data, []
    template: dict[str, Any] = dict.fromkeys(raw.inner, KEEP)
    if not request.untouched or may_be_sealed(raw.data):
        template = edited(request, raw, losses)
    template.update(changes)
    return splice(raw.data, enveloped(raw.tree, raw.root, template)), losses.found


def inner_bytes(request: Request, raw: GeminiDoc, losses: Losses, drop: Sequence[str]) -> bytes:
    """The request in a body of either of Google's dialects, as text, without what the other does not know."""
    data = raw.data
    if not request.untouched or may_be_sealed(data):
        data = splice(data, enveloped(raw.tree, raw.root, edited(request, raw, losses)))
    if raw.root:
        data = splice(data, Kept(raw.root))
    gone = [key for key in raw.inner if key in drop]
    for key in gone:
        losses.dropped(key)
    return splice(data, merged(jsons.loads(data), {}, frozenset(gone))) if gone else data


def _unwrapped(request: Request, raw: GeminiDoc, losses: Losses) -> bytes:
    """The request of a client of Code Assist's."""
    data = inner_bytes(request, raw, losses, ("session_id", "model"))
    if request.operation != "count_tokens":
        return data
    return b'{"%s":{"model":%s,%s}' % (_INNER.encode(), jsons.dumps(_named(request.model)), data.lstrip()[1:])


def written(request: Request, losses: Losses) -> dict[str, JSON]:
    """A request from scratch: always the same for the same prompt, with only what is set."""
    prompt = request.prompt
    tools = write_tools(prompt.tools, losses)
    return {
        **write_items(prompt.items, losses),
        **({"tools": tools} if tools else {}),
        **write_settings(prompt, {}, losses),
    }


def edited(request: Request, raw: GeminiDoc, losses: Losses) -> dict[str, Any]:
    """A template for the request of a body."""
    return Edits(raw, read_prompt(raw), losses).template(request.prompt)


def enveloped(tree: dict[str, Any], root: Path, inner: dict[str, Any]) -> dict[str, Any]:
    """A template for the body, given that of the request in it; keys that are not named are kept at the top alone."""
    template: dict[str, Any] = {}
    for step in reversed(root):
        assert isinstance(step, str)
        template = dict.fromkeys(tree, KEEP) | {step: inner}
        inner = template
    return template or inner


def may_be_sealed(data: bytes) -> bool:
    """Whether a body may hold an envelope, which no provider may get."""
    return any(data.find(mark) >= 0 for mark in envelope.MARKS)


def _renamed(request: Request, raw: GeminiDoc) -> dict[str, Any]:
    """Some clients repeat in the body which model the path names."""
    if request.model == raw.model or b'"model"' not in raw.data or not isinstance(raw.inner.get("model"), str):
        return {}
    return {"model": _named(request.model) if raw.inner["model"].startswith("models/") else request.model}


def _addressed(body: dict[str, JSON], request: Request) -> dict[str, JSON]:
    if request.operation != "count_tokens":
        return body
    return {_INNER: {"model": _named(request.model), **body}}


def _named(model: str) -> str:
    return f"models/{model.removeprefix('models/')}"
