"""What is said to a model, in no vendor's words: a request is an ordered list of items with ordered, typed parts.

The order between thinking, text and tool calls, cache marks, custom tools, opaque provider state and fields we do not know
all survive here. Every node remembers where it came from (``source``), and is *clean* until ``attrs.evolve`` makes a new one
of it: a dialect that writes a request back in its own dialect copies the bytes of clean nodes and re-emits the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from attrs import define, evolve, field, frozen

from llmgw import jsons

if TYPE_CHECKING:
    from llmgw.splice import Path

JSON = Any
"""A value as ``jsons.loads`` gives it."""


# ---- where a node came from ---------------------------------------------------------------------


@define(eq=False)
class RawDoc:
    """A body as it arrived.

    Args:
        dialect: the dialect it is written in.
        data: the bytes.
        model: the model it names, if any.
        stream: whether it asks for events.
        stream_usage: whether it asks for usage among them.
    """

    dialect: str
    data: bytes = field(repr=False)
    model: str | None = None
    stream: bool = False
    stream_usage: bool = False
    _tree: JSON = field(default=None, repr=False, alias="tree")

    @property
    def is_read(self) -> bool:
        """Whether the body has been read whole."""
        return self._tree is not None

    @property
    def tree(self) -> JSON:
        """The body as JSON values; read once, never to be changed."""
        if self._tree is None:
            self._tree = jsons.loads(self.data)
        return self._tree


@frozen(eq=False)
class Source:
    """Where a node was read from: ``value`` stands at ``path`` in ``doc``."""

    doc: RawDoc = field(repr=False)
    path: Path
    value: JSON = field(repr=False)


@frozen(kw_only=True)
class Node:
    """A part of a request; ``attrs.evolve`` gives a changed copy, which knows its source but is no longer clean."""

    source: Source | None = field(default=None, eq=False, repr=False)
    clean: bool = field(default=False, init=False, eq=False, repr=False)


_N = TypeVar("_N", bound=Node)


def sourced(node: _N, doc: RawDoc, path: Path, value: JSON) -> _N:
    """Mark a node as read from ``path`` of ``doc``, and as clean. For dialects, while reading."""
    object.__setattr__(node, "source", Source(doc, path, value))
    object.__setattr__(node, "clean", True)
    return node


def is_clean(nodes: Iterable[Node], count: int) -> bool:
    """Whether these are all the ``count`` nodes that were read, unchanged."""
    nodes = tuple(nodes)
    return len(nodes) == count and all(node.clean for node in nodes)


# ---- small things on parts ----------------------------------------------------------------------


@frozen
class Base64:
    """Bytes in the request itself."""

    media_type: str
    data: str = field(repr=False)


@frozen
class Url:
    """Bytes that the provider fetches; the gateway never does."""

    url: str


@frozen
class FileId:
    """A file uploaded to one provider, which only that one knows."""

    id: str
    provider: str | None = None


@frozen
class FileUri:
    """A file in a provider's own storage."""

    uri: str
    media_type: str | None = None


@frozen
class PlainText:
    """A document given as text."""

    text: str


BlobSource = Base64 | Url | FileId | FileUri


@frozen
class CacheMark:
    """A prompt-cache breakpoint after the node it sits on.

    Args:
        ttl: seconds; None is the provider's default.
        raw: as the client wrote it.
    """

    ttl: float | None = None
    raw: JSON = None


@frozen
class Carrier:
    """Opaque state of a provider: never interpreted, never re-encoded, always with its provenance.

    Args:
        provider: who can read it, or ``unknown``.
        family: the model family it is bound to.
        kind: what it is called where it came from.
        payload: the exact text as received.
        position: whether it belongs on its part, before or after it.
        scope: a fingerprint of the account it is bound to, when known.
    """

    provider: str
    kind: Literal["signature", "encrypted_content", "thought_signature", "redacted", "compaction", "details"]
    payload: str = field(repr=False)
    family: str | None = None
    position: Literal["on", "before", "after"] = "on"
    scope: str | None = None


@frozen
class Citation:
    """What a text leans on; ``unit`` says what ``start`` and ``end`` count."""

    kind: Literal["url", "char", "page", "block", "search_result", "file", "container_file", "grounding"]
    url: str | None = None
    title: str | None = None
    cited_text: str | None = None
    start: int | None = None
    end: int | None = None
    unit: Literal["codepoint", "utf16", "byte"] = "codepoint"
    doc_index: int | None = None
    file_id: str | None = None
    raw: JSON = None


# ---- parts --------------------------------------------------------------------------------------


@frozen(kw_only=True)
class Part(Node):
    """A piece of an item."""

    cache: CacheMark | None = None


@frozen
class Text(Part):
    """Words. ``group`` numbers the message item a text belonged to, where one run of the assistant had several."""

    text: str
    citations: tuple[Citation, ...] = field(default=(), kw_only=True)
    logprobs: JSON = field(default=None, kw_only=True)
    group: int | None = field(default=None, kw_only=True)
    id: str | None = field(default=None, kw_only=True)
    phase: Literal["commentary", "final_answer"] | None = field(default=None, kw_only=True)
    carrier: Carrier | None = field(default=None, kw_only=True)


@frozen
class Image(Part):
    """A picture; ``detail`` is OpenAI's word for its resolution, ``resolution`` Gemini's."""

    blob: BlobSource
    detail: str | None = field(default=None, kw_only=True)
    resolution: str | None = field(default=None, kw_only=True)


@frozen
class Document(Part):
    """A file to read, a PDF above all."""

    blob: BlobSource | PlainText | tuple[Part, ...]
    media_type: str | None = field(default=None, kw_only=True)
    filename: str | None = field(default=None, kw_only=True)
    context: str | None = field(default=None, kw_only=True)
    citations_enabled: bool | None = field(default=None, kw_only=True)


@frozen
class Audio(Part):
    """Sound: given as a blob, or an earlier answer named by its id."""

    blob: BlobSource | None = None
    id: str | None = field(default=None, kw_only=True)
    transcript: str | None = field(default=None, kw_only=True)
    expires_at: int | None = field(default=None, kw_only=True)


@frozen
class Video(Part):
    """Moving pictures; times in seconds."""

    blob: BlobSource
    start: float | None = field(default=None, kw_only=True)
    end: float | None = field(default=None, kw_only=True)
    fps: float | None = field(default=None, kw_only=True)


@frozen(kw_only=True)
class Reasoning(Part):
    """What a model thought: as summary texts, as raw texts, or only as an opaque carrier."""

    summary: tuple[str, ...] = ()
    raw_text: tuple[str, ...] = ()
    carrier: Carrier | None = None
    redacted: bool = False
    id: str | None = None
    status: str | None = None


@frozen(kw_only=True)
class ToolCall(Part):
    """The model wants a tool run. ``arguments`` is the text exactly as received: the truth, valid JSON or not."""

    call_id: str
    name: str
    arguments: str
    kind: Literal["function", "custom", "builtin"] = "function"
    namespace: str | None = None
    native_id: str | None = None
    item_id: str | None = None
    carrier: Carrier | None = None
    caller: JSON = None
    is_async: bool = False
    status: str | None = None


@frozen(kw_only=True)
class ServerToolCall(Part):
    """A tool that the provider runs itself."""

    tool: str
    id: str | None = None
    input: JSON = None
    raw: JSON = None


@frozen(kw_only=True)
class ServerToolResult(Part):
    """What such a tool gave."""

    tool: str
    id: str | None = None
    output: JSON = None
    raw: JSON = None


@frozen
class Refusal(Part):
    """The model's refusal, in its words."""

    text: str
    category: str | None = field(default=None, kw_only=True)
    explanation: str | None = field(default=None, kw_only=True)


@frozen(kw_only=True)
class SearchResult(Part):
    """A search hit given as context."""

    url: str
    title: str
    parts: tuple[Text, ...] = ()
    citations_enabled: bool | None = None


@frozen(kw_only=True)
class OpaquePart(Part):
    """A part of a type we do not know; carried, never looked into."""

    dialect: str
    type: str
    raw: JSON


# ---- items --------------------------------------------------------------------------------------


@frozen(kw_only=True)
class Item(Node):
    """One step of the conversation; ``turn`` is the ordinal of the message it was read from."""

    turn: int = 0


@frozen(kw_only=True)
class Instruction(Item):
    """What the deployment tells the model; ``leading`` when it stands before any user or assistant item."""

    role: Literal["system", "developer"] = "system"
    parts: tuple[Part, ...] = ()
    name: str | None = None
    leading: bool = True
    origin: str | None = None
    cache: CacheMark | None = None
    clear_at: JSON = None
    effort: str | None = None


@frozen(kw_only=True)
class Message(Item):
    """What the user or the model said; the model's tool calls and reasoning are parts, in their order."""

    role: Literal["user", "assistant"]
    parts: tuple[Part, ...] = ()
    name: str | None = None
    phase: Literal["commentary", "final_answer"] | None = None
    id: str | None = None
    status: str | None = None


@frozen(kw_only=True)
class ToolResult(Item):
    """What a tool gave, for the call of the same id. ``structured`` is the result as an object, where it is one."""

    call_id: str
    parts: tuple[Part, ...] = ()
    name: str | None = None
    kind: Literal["function", "custom", "builtin"] = "function"
    is_error: bool | None = None
    structured: JSON = None
    scheduling: str | None = None
    cache: CacheMark | None = None
    id: str | None = None


@frozen(kw_only=True)
class ToolSetChange(Item):
    """Tools that come or go in the middle of a conversation."""

    added: tuple[Tool, ...] = ()
    removed: tuple[str, ...] = ()
    role: str | None = None


@frozen(kw_only=True)
class ConfigUpdate(Item):
    """Settings that change in the middle of a conversation."""

    reasoning: ReasoningConfig | None = None
    verbosity: str | None = None


@frozen(kw_only=True)
class Compaction(Item):
    """A provider's summary of what went before (``carrier``), or the request to make one (``trigger``)."""

    carrier: Carrier | None = None
    trigger: bool = False


@frozen(kw_only=True)
class ItemReference(Item):
    """An item that the provider keeps."""

    id: str


@frozen(kw_only=True)
class OpaqueItem(Item):
    """An item of a type we do not know; carried, never looked into."""

    dialect: str
    type: str
    raw: JSON


# ---- tools --------------------------------------------------------------------------------------


@frozen(kw_only=True)
class Tool(Node):
    """Something the model may call."""

    cache: CacheMark | None = None


@frozen(kw_only=True)
class FunctionTool(Tool):
    """A tool with arguments; ``schema`` is JSON Schema as given."""

    name: str
    description: str | None = None
    schema: JSON = None
    strict: bool | None = None
    namespace: str | None = None
    schema_dialect: Literal["json_schema", "openapi_subset"] = "json_schema"
    response_schema: JSON = None
    defer_loading: bool | None = None
    examples: JSON = None
    allowed_callers: JSON = None
    eager_stream: bool | None = None


@frozen(kw_only=True)
class CustomTool(Tool):
    """A tool that takes free text, maybe of a grammar."""

    name: str
    description: str | None = None
    syntax: Literal["text", "lark", "regex"] = "text"
    definition: str | None = None
    namespace: str | None = None


@frozen(kw_only=True)
class BuiltinTool(Tool):
    """A tool of the vendor's making; ``client_executed`` when the client must run it all the same."""

    kind: str
    vendor: str
    name: str | None = None
    config: JSON = None
    client_executed: bool = False


@frozen(kw_only=True)
class McpServer(Tool):
    """A server of tools that the provider calls."""

    label: str
    url: str | None = None
    config: JSON = None


@frozen(kw_only=True)
class Namespace(Tool):
    """Tools under one name."""

    name: str
    description: str | None = None
    tools: tuple[Tool, ...] = ()


@frozen
class ToolRef:
    """A tool named in a choice."""

    name: str
    kind: Literal["function", "custom", "builtin"] = "function"
    namespace: str | None = None


@frozen
class ToolChoice:
    """Whether and which tools must be called; ``inner_mode`` is that of ``allowed``."""

    mode: Literal["auto", "none", "required", "named", "allowed", "validated"]
    names: tuple[ToolRef, ...] = ()
    inner_mode: Literal["auto", "required"] | None = None


# ---- settings -----------------------------------------------------------------------------------


@frozen(kw_only=True)
class Sampling:
    """How the next token is chosen, and how many there may be."""

    max_output: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    n: int | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    logit_bias: JSON = None
    verbosity: str | None = None
    modalities: tuple[str, ...] | None = None
    audio_out: JSON = None
    prediction: JSON = None


@frozen(kw_only=True)
class ReasoningConfig:
    """How much the model is to think, and what of it to show. ``budget`` is in tokens."""

    mode: Literal["unset", "off", "auto", "adaptive", "budget", "between_tools"] = "unset"
    effort: str | None = None
    budget: int | None = None
    show: str | None = None
    want_encrypted: bool = False
    context: str | None = None
    pro_mode: str | None = None
    binding: JSON = None


@frozen(kw_only=True)
class OutputFormat:
    """The form the answer must have."""

    kind: Literal["text", "json_object", "json_schema", "mime"] = "text"
    name: str | None = None
    description: str | None = None
    schema: JSON = None
    strict: bool | None = None
    mime: str | None = None


@frozen(kw_only=True)
class CachePolicy:
    """Prompt caching as a whole; breakpoints sit on parts and tools."""

    auto: bool | None = None
    auto_ttl: float | None = None
    key: str | None = None
    mode: str | None = None
    ttl: str | None = None
    retention: str | None = None
    resource: str | None = None


@frozen(kw_only=True)
class ServerState:
    """What the provider is asked to remember, or to continue."""

    previous_response_id: str | None = None
    conversation: JSON = None
    store: bool | None = None
    background: bool | None = None
    prompt_template: JSON = None
    cached_content: str | None = None
    container: JSON = None


# ---- the request --------------------------------------------------------------------------------


@frozen(kw_only=True)
class Prompt:
    """All that the model is told."""

    items: tuple[Item, ...] = ()
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice | None = None
    parallel_tools: bool | None = None
    max_tool_calls: int | None = None
    sampling: Sampling = Sampling()
    reasoning: ReasoningConfig = ReasoningConfig()
    output: OutputFormat | None = None
    cache: CachePolicy = CachePolicy()
    safety: tuple[JSON, ...] = ()
    safety_id: str | None = None
    server_state: ServerState = ServerState()
    tier: str | None = None
    end_user: str | None = None
    metadata: Mapping[str, str] | None = None
    include: frozenset[str] = frozenset()


@frozen
class Loss:
    """One thing that did not come across as it was.

    Args:
        path: where it stood in the client's own body.
        feature: what it is, in a word, as ``temperature`` or ``cache.ttl``.
        action: what became of it.
        from_: its dialect or value before.
        to: its dialect or value after.
    """

    path: str
    feature: str
    action: Literal["dropped", "emulated", "approximated"]
    from_: str = ""
    to: str = ""


@frozen(kw_only=True)
class Request:
    """One thing a client asks of a model.

    What routing needs is at hand; the prompt, all that the model is told, is read from the body when first asked for, so
    an exchange that nobody looks into is never read.

    Args:
        dialect: the client's.
        model: as asked by the client; after routing, as the back-end calls it.
        stream: whether the client wants events.
        stream_usage: whether the client wants usage in the stream.
        operation: what is asked.
        raw: the body as it came, if it came as one.
        headers: the few that mean something to a provider of the same dialect; names in lower case.
        load: reads the prompt from ``raw``.
    """

    dialect: str
    model: str
    stream: bool = False
    stream_usage: bool = False
    operation: Literal["generate", "count_tokens", "compact"] = "generate"
    raw: RawDoc | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(factory=dict, repr=False)
    _load: Callable[[RawDoc], Prompt] | None = field(default=None, repr=False, eq=False, alias="load")
    _prompt: Prompt | None = field(default=None, repr=False, alias="prompt")
    _as_read: Prompt | None = field(default=None, repr=False, eq=False, init=False)

    @property
    def prompt(self) -> Prompt:
        """All that the model is told; ``with_prompt`` changes it."""
        if self._prompt is None:
            assert self._load is not None and self.raw is not None, "a request has a prompt or a body"
            prompt = self._load(self.raw)
            object.__setattr__(self, "_prompt", prompt)
            object.__setattr__(self, "_as_read", prompt)
        assert self._prompt is not None
        return self._prompt

    @property
    def untouched(self) -> bool:
        """Whether the prompt is still what the body says."""
        return self.raw is not None and (self._prompt is None or self._prompt is self._as_read)

    def with_prompt(self, **changes: Any) -> Request:
        """A copy whose prompt differs in the fields named."""
        return evolve(self, prompt=evolve(self.prompt, **changes))

    def with_model(self, model: str) -> Request:
        """A copy for another model, reading nothing."""
        if model == self.model:
            return self
        copy = Request(  # spelt out: this is done for every request, and attrs.evolve looks at every field
            dialect=self.dialect,
            model=model,
            stream=self.stream,
            stream_usage=self.stream_usage,
            operation=self.operation,
            raw=self.raw,
            headers=self.headers,
            load=self._load,
            prompt=self._prompt,
        )
        object.__setattr__(copy, "_as_read", self._as_read)
        return copy


@frozen
class ModelInfo:
    """A model as a list of models shows it; ``created`` in Unix seconds."""

    id: str
    owned_by: str = ""
    created: int | None = None
    display_name: str | None = None
    raw: JSON = field(default=None, repr=False, eq=False)


def texts(parts: Sequence[Part]) -> str:
    """The words of these parts, one after the other."""
    return "".join(part.text for part in parts if isinstance(part, Text))
