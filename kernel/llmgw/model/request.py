"""A request: what routing needs at hand, all else read when asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

from attrs import evolve, field, frozen

from llmgw.model.items import Item
from llmgw.model.nodes import JSON, RawDoc
from llmgw.model.settings import CachePolicy, OutputFormat, ReasoningConfig, Sampling, ServerState
from llmgw.model.tools import Tool, ToolChoice


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

    def saying(self, prompt: Prompt) -> Request:
        """A copy with another prompt."""
        return self if prompt is self._prompt else evolve(self, prompt=prompt)

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
class RateLimit:
    """What is left of a provider's limit.

    Args:
        scope: of what: ``requests``, ``tokens``, ``input-tokens``, ``output-tokens``.
        limit: in its period.
        remaining: of it.
        reset_at: when it is whole again, in Unix seconds.
    """

    scope: str
    limit: int | None = None
    remaining: int | None = None
    reset_at: float | None = None


@frozen
class ModelInfo:
    """A model as a list of models shows it.

    Args:
        id: by which it is asked for.
        owned_by: whose it is.
        created: Unix seconds.
        display_name: for people.
        context: tokens of its window, where the list says so.
        max_output: most tokens of an answer, where the list says so.
        raw: the entry as the provider wrote it.
    """

    id: str
    owned_by: str = ""
    created: int | None = None
    display_name: str | None = None
    context: int | None = None
    max_output: int | None = None
    raw: JSON = field(default=None, repr=False, eq=False)
