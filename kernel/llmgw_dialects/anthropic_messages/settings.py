"""The fields beside messages and tools: sampling, thinking, output, caching and the rest."""

from __future__ import annotations

from typing import Any, Final

from llmgw.model import JSON, CachePolicy, OutputFormat, Prompt, ReasoningConfig, Sampling, ServerState
from llmgw_dialects.anthropic_messages.marks import KEY, ttl_of, write_ttl
from llmgw_dialects.anthropic_messages.names import object_of, present, text_of
from llmgw_dialects.fields import opt_int, opt_number, opt_object, opt_string, opt_strings
from llmgw_dialects.losses import Losses

_THINKING: Final[dict[str, Any]] = {
    "disabled": "off", "adaptive": "adaptive", "enabled": "budget", "between_tools": "between_tools",
}  # fmt: skip
_DISPLAYS: Final = frozenset({"omitted", "summarized", "updates"})
_TIERS: Final = frozenset({"auto", "standard_only"})
_UNKNOWN: Final = (
    "frequency_penalty", "presence_penalty", "seed", "logprobs", "top_logprobs", "logit_bias", "verbosity", "modalities",
    "audio_out", "prediction",
)  # fmt: skip

SPELLED: Final = {
    "max_output": "max_tokens",
    "stop": "stop_sequences",
    "reasoning": "thinking",
    "reasoning.mode": "thinking.type",
    "reasoning.effort": "output_config.effort",
    "reasoning.budget": "thinking.budget_tokens",
    "reasoning.show": "thinking.display",
    "reasoning.binding": "thinking.block_binding",
    "output": "output_config.format",
    "parallel_tools": "tool_choice.disable_parallel_tool_use",
    "end_user": "metadata.user_id",
    "tier": "service_tier",
    "cache.auto": "cache_control",
    "cache.auto_ttl": "cache_control.ttl",
    "server_state.container": "container",
    "server_state.thread": "thread",
}
"""What a client of this dialect calls a setting, where that is not its canonical name."""


def read_settings(tree: dict[str, Any]) -> dict[str, Any]:
    """Read what a ``Prompt`` has beside items, tools and their choice, as its keyword arguments."""
    cache, metadata = opt_object(tree, KEY, ()), opt_object(tree, "metadata", ()) or {}
    return {
        "sampling": Sampling(
            max_output=opt_int(tree, "max_tokens", ()),
            temperature=opt_number(tree, "temperature", ()),
            top_p=opt_number(tree, "top_p", ()),
            top_k=opt_int(tree, "top_k", ()),
            stop=opt_strings(tree, "stop_sequences", ()) or (),
        ),
        "reasoning": _reasoning(tree),
        "output": _output(tree),
        "cache": CachePolicy() if cache is None else CachePolicy(auto=True, auto_ttl=ttl_of(cache)),
        "server_state": ServerState(container=tree.get("container"), thread=tree.get("thread")),
        "tier": opt_string(tree, "service_tier", ()),
        "end_user": opt_string(metadata, "user_id", ("metadata",)),
    }


def write_settings(prompt: Prompt, like: dict[str, Any], losses: Losses) -> dict[str, JSON]:
    """Write them.

    Args:
        prompt: what to write of.
        like: a body whose spelling to follow where there are several; empty for Anthropic's own.
        losses: takes what Anthropic cannot say.
    """
    sampling = prompt.sampling
    out: dict[str, JSON] = {
        "max_tokens": sampling.max_output,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k,
        "stop_sequences": list(sampling.stop) or None,
        "thinking": _write_thinking(prompt.reasoning, like, losses),
        **_write_output(prompt, like, losses),
        "cache_control": write_ttl(prompt.cache.auto_ttl, losses) if prompt.cache.auto else None,
        "metadata": _write_user(prompt, like, losses),
        "service_tier": _write_tier(prompt, like, losses),
        "container": prompt.server_state.container,
        "thread": prompt.server_state.thread,
    }
    _lost_settings(prompt, losses)
    return present(out)


def _reasoning(tree: dict[str, Any]) -> ReasoningConfig:
    thinking = opt_object(tree, "thinking", ()) or {}
    config = opt_object(tree, "output_config", ()) or {}
    return ReasoningConfig(
        mode=_THINKING.get(text_of(thinking, "type"), "unset"),
        effort=opt_string(config, "effort", ("output_config",)),
        budget=opt_int(thinking, "budget_tokens", ("thinking",)),
        show=opt_string(thinking, "display", ("thinking",)),
        binding=thinking.get("block_binding"),
    )


def _write_thinking(config: ReasoningConfig, like: dict[str, Any], losses: Losses) -> JSON:
    """``thinking``; one is written for an effort too, which says how much but not that."""
    words = {mode: word for word, mode in _THINKING.items()}
    mode = config.mode
    if mode in ("unset", "auto") and config.budget is not None and config.budget > 0:
        mode = "budget"
    if mode == "unset" and config.effort is not None and not like:
        mode = "off" if config.effort == "none" else "adaptive"
    if mode == "auto" or (mode == "budget" and config.budget is None):
        mode = "adaptive"
    if mode == "unset":  # what is of a type that we do not know stays
        given = object_of(like, "thinking")
        return given if given and text_of(given, "type") not in _THINKING else None
    told: dict[str, JSON] = {"type": words[mode]}
    if mode == "budget":
        told["budget_tokens"] = config.budget
    if config.show is not None and mode in ("budget", "adaptive"):
        told["display"] = config.show if config.show in _DISPLAYS else "summarized"
    return {**told, **present({"block_binding": config.binding})}


def _output(tree: dict[str, Any]) -> OutputFormat | None:
    """``output_config.format``, or the older ``output_format``."""
    config = opt_object(tree, "output_config", ()) or {}
    given = opt_object(config, "format", ("output_config",))
    if given is None:
        given = opt_object(tree, "output_format", ())
    if given is None or given.get("type") != "json_schema":  # of a kind we do not know: it stays in the body
        return None
    return OutputFormat(kind="json_schema", schema=given.get("schema"))


def _write_output(prompt: Prompt, like: dict[str, Any], losses: Losses) -> dict[str, JSON]:
    effort, output = prompt.reasoning.effort, prompt.output
    if not like:
        effort = _write_effort(effort, losses)
    form: JSON = None
    if output is not None and output.kind == "json_schema":
        form = present({"type": "json_schema", "schema": output.schema})
    elif output is not None and output.kind != "text":
        losses.dropped("output", output.kind)
    if output is not None and output.strict is False:
        losses.approximated("output.strict", "false", "true")
    older = "output_format" in like and "format" not in object_of(like, "output_config")
    config = present({"effort": effort, "format": None if older else form})
    told = config if config or "output_config" in like else None
    return {"output_config": told, "output_format": form if older else None}


def _write_effort(effort: str | None, losses: Losses) -> str | None:
    if effort == "minimal":
        losses.approximated("reasoning.effort", effort, "low")
        return "low"
    return None if effort == "none" else effort  # that is said by ``thinking``


def _write_user(prompt: Prompt, like: dict[str, Any], losses: Losses) -> JSON:
    user = prompt.end_user
    if user is None and prompt.safety_id is not None:
        user = prompt.safety_id
        losses.approximated("safety_id", "safety_identifier", "metadata.user_id")
    elif prompt.safety_id is not None:
        losses.dropped("safety_id")
    if user is None and "metadata" not in like:
        return None
    return present({"user_id": user})


def _write_tier(prompt: Prompt, like: dict[str, Any], losses: Losses) -> str | None:
    if prompt.tier is None or prompt.tier in _TIERS or prompt.tier == like.get("service_tier"):
        return prompt.tier
    losses.dropped("tier", prompt.tier)
    return None


def _lost_settings(prompt: Prompt, losses: Losses) -> None:
    for name in _UNKNOWN:
        if getattr(prompt.sampling, name):
            losses.dropped(name)
    if prompt.sampling.n is not None and prompt.sampling.n > 1:
        losses.dropped("n", str(prompt.sampling.n))
    state, cache = prompt.server_state, prompt.cache
    for feature, value in {
        "max_tool_calls": prompt.max_tool_calls,
        "metadata": prompt.metadata,
        "safety": prompt.safety,
        "include": prompt.include,
        "reasoning.context": prompt.reasoning.context,
        "reasoning.pro_mode": prompt.reasoning.pro_mode,
        "cache.key": cache.key,
        "cache.mode": cache.mode,
        "cache.ttl": cache.ttl,
        "cache.retention": cache.retention,
        "cache.resource": cache.resource,
        "server_state.previous_response_id": state.previous_response_id,
        "server_state.conversation": state.conversation,
        "server_state.background": state.background,
        "server_state.prompt_template": state.prompt_template,
        "server_state.cached_content": state.cached_content,
        "server_state.continuation": state.continuation,
        "server_state.store": state.store,
    }.items():
        if value:
            losses.dropped(feature)
