"""How a model is to answer."""

from __future__ import annotations

from typing import Literal

from attrs import frozen

from llmgw.model.nodes import JSON


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
    thread: JSON = None
    continuation: str | None = None
