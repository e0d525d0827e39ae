"""The fields beside items and tools: sampling, reasoning, output, caching, what the provider keeps, and the rest."""

from __future__ import annotations

from typing import Any, Final

from llmgw.model import JSON, CachePolicy, OutputFormat, Prompt, ReasoningConfig, Sampling, ServerState
from llmgw_dialects.fields import (
    invalid,
    opt_bool,
    opt_int,
    opt_list,
    opt_number,
    opt_object,
    opt_string,
    string,
)
from llmgw_dialects.losses import Losses
from llmgw_dialects.openai_responses.names import ENCRYPTED, LOGPROBS, given

LEAST_OUTPUT: Final = 16
"""Tokens of an answer; a smaller limit is an error."""
_SUMMARIES: Final = ("auto", "concise", "detailed")
_BUDGETS: Final = ((0, "none"), (512, "minimal"), (1024, "low"), (8192, "medium"), (24576, "high"))
_SPELLED: Final = {
    "max_output": "max_output_tokens",
    "verbosity": "text.verbosity",
    "output": "text.format",
    "response_format": "text.format",
    "response_format.mime": "text.format",
    "reasoning.budget": "reasoning.effort",
    "effort": "reasoning.effort",
    "reasoning.show": "reasoning.summary",
    "reasoning.pro_mode": "reasoning.mode",
    "parallel_tools": "parallel_tool_calls",
    "tier": "service_tier",
    "end_user": "user",
    "safety_id": "safety_identifier",
    "logprobs": "include",
    "cache.key": "prompt_cache_key",
    "cache.mode": "prompt_cache_options.mode",
    "cache.ttl": "prompt_cache_options.ttl",
    "cache.retention": "prompt_cache_retention",
    "server_state.previous_response_id": "previous_response_id",
    "server_state.conversation": "conversation",
    "server_state.store": "store",
    "server_state.background": "background",
    "server_state.prompt_template": "prompt",
}


def spelled(setting: str) -> str:
    """How a client of this dialect spells a setting."""
    return _SPELLED.get(setting, setting)


# ---- reading ------------------------------------------------------------------------------------


def read_settings(tree: dict[str, Any]) -> dict[str, Any]:
    """Read what a ``Prompt`` has beside items, tools and tool choice, as its keyword arguments."""
    text = opt_object(tree, "text", ()) or {}
    include = frozenset(one for one in opt_list(tree, "include", ()) or () if isinstance(one, str))
    return {
        "parallel_tools": opt_bool(tree, "parallel_tool_calls", ()),
        "max_tool_calls": opt_int(tree, "max_tool_calls", ()),
        "sampling": Sampling(
            max_output=opt_int(tree, "max_output_tokens", ()),
            temperature=opt_number(tree, "temperature", ()),
            top_p=opt_number(tree, "top_p", ()),
            logprobs=True if LOGPROBS in include else None,
            top_logprobs=opt_int(tree, "top_logprobs", ()),
            verbosity=opt_string(text, "verbosity", ("text",)),
        ),
        "reasoning": _reasoning(tree, include),
        "output": _output(text),
        "cache": _cache(tree),
        "safety_id": opt_string(tree, "safety_identifier", ()),
        "server_state": _state(tree),
        "tier": opt_string(tree, "service_tier", ()),
        "end_user": opt_string(tree, "user", ()),
        "metadata": _metadata(tree),
        "include": include,
    }


def _reasoning(tree: dict[str, Any], include: frozenset[str]) -> ReasoningConfig:
    given_, path = opt_object(tree, "reasoning", ()) or {}, ("reasoning",)
    return ReasoningConfig(
        effort=opt_string(given_, "effort", path),
        show=opt_string(given_, "summary", path) or opt_string(given_, "generate_summary", path),
        context=opt_string(given_, "context", path),
        pro_mode=opt_string(given_, "mode", path),
        want_encrypted=ENCRYPTED in include,
    )


def _output(text: dict[str, Any]) -> OutputFormat | None:
    path = ("text", "format")
    form = opt_object(text, "format", ("text",))
    match (form or {}).get("type"):
        case "text" | "json_object" as kind:
            return OutputFormat(kind=kind)
        case "json_schema" if form is not None:
            return OutputFormat(
                kind="json_schema",
                name=opt_string(form, "name", path),
                description=opt_string(form, "description", path),
                schema=form.get("schema"),
                strict=opt_bool(form, "strict", path),
            )
        case None if form is None:
            return None
        case _:  # one that we do not know; it stays in the body
            string(form or {}, "type", path)
            return None


def _cache(tree: dict[str, Any]) -> CachePolicy:
    options, path = opt_object(tree, "prompt_cache_options", ()) or {}, ("prompt_cache_options",)
    return CachePolicy(
        key=opt_string(tree, "prompt_cache_key", ()),
        mode=opt_string(options, "mode", path),
        ttl=opt_string(options, "ttl", path),
        retention=opt_string(tree, "prompt_cache_retention", ()),
    )


def _state(tree: dict[str, Any]) -> ServerState:
    return ServerState(
        previous_response_id=opt_string(tree, "previous_response_id", ()),
        conversation=tree.get("conversation"),
        store=opt_bool(tree, "store", ()),
        background=opt_bool(tree, "background", ()),
        prompt_template=opt_object(tree, "prompt", ()),
    )


def _metadata(tree: dict[str, Any]) -> dict[str, str] | None:
    metadata = opt_object(tree, "metadata", ())
    for key, value in (metadata or {}).items():
        if not isinstance(value, str):
            raise invalid(("metadata", key), "a string", value)
    return metadata


# ---- writing ------------------------------------------------------------------------------------


def write_settings(prompt: Prompt, losses: Losses, *, own: bool = False) -> dict[str, JSON]:
    """Write them.

    Args:
        prompt: what to write of.
        losses: takes what Responses cannot say.
        own: whether the client spoke this dialect, so that nothing is put in that it did not ask for.
    """
    state, sampling = prompt.server_state, prompt.sampling
    out: dict[str, JSON] = {
        "max_output_tokens": sampling.max_output if own else _limit(sampling.max_output, losses),
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_logprobs": sampling.top_logprobs,
        "parallel_tool_calls": prompt.parallel_tools,
        "max_tool_calls": prompt.max_tool_calls,
        "reasoning": _write_reasoning(prompt.reasoning, losses),
        "text": _write_text(prompt, losses),
        "include": _include(prompt) or None,
        "store": state.store if own or state.store is not None else False,
        "previous_response_id": state.previous_response_id,
        "conversation": state.conversation,
        "background": state.background,
        "prompt": state.prompt_template,
        "prompt_cache_key": prompt.cache.key,
        "prompt_cache_options": given(mode=prompt.cache.mode, ttl=prompt.cache.ttl) or None,
        "prompt_cache_retention": prompt.cache.retention,
        "safety_identifier": prompt.safety_id,
        "user": prompt.end_user,
        "metadata": None if prompt.metadata is None else dict(prompt.metadata),
        "service_tier": prompt.tier,
    }
    _lost_settings(prompt, losses)
    return given(**out)


def write_reasoning_config(config: ReasoningConfig) -> dict[str, JSON]:
    """How much to think, where it changes in the middle of a conversation."""
    return given(effort=config.effort)


def _limit(limit: int | None, losses: Losses) -> int | None:
    if limit is None or limit >= LEAST_OUTPUT:
        return limit
    losses.approximated("max_output", str(limit), str(LEAST_OUTPUT))
    return LEAST_OUTPUT


def _write_reasoning(config: ReasoningConfig, losses: Losses) -> dict[str, JSON] | None:
    effort, show = config.effort, config.show
    if effort is None and config.mode == "off":
        effort = "none"
    elif effort is None and config.budget is not None and config.budget >= 0:
        effort = next((name for most, name in _BUDGETS if (config.budget or 0) <= most), "xhigh")
        losses.approximated("reasoning.budget", str(config.budget), effort)
    if show is not None and show not in _SUMMARIES:  # another vendor's word
        show = None if show in ("omitted", "none") else "detailed" if show == "full" else "auto"
    return given(effort=effort, summary=show, context=config.context, mode=config.pro_mode) or None


def _write_text(prompt: Prompt, losses: Losses) -> dict[str, JSON] | None:
    form = None if prompt.output is None else _write_output(prompt.output, losses)
    return given(format=form, verbosity=prompt.sampling.verbosity) or None


def _write_output(output: OutputFormat, losses: Losses) -> JSON:
    if output.kind == "mime":
        losses.dropped("response_format.mime", output.mime or "")
        return None
    if output.kind != "json_schema":
        if output.schema is not None:
            losses.dropped("response_format.schema")
        return {"type": output.kind}
    told = given(description=output.description, strict=output.strict)
    schema = {"type": "object"} if output.schema is None else output.schema
    return {"type": "json_schema", "name": output.name or "response", "schema": schema, **told}


def _include(prompt: Prompt) -> list[str]:
    """What the client asked for, and what its wishes amount to."""
    wanted = set(prompt.include) - {ENCRYPTED, LOGPROBS}
    if prompt.reasoning.want_encrypted:
        wanted.add(ENCRYPTED)
    if prompt.sampling.logprobs:
        wanted.add(LOGPROBS)
    return sorted(wanted)


def _lost_settings(prompt: Prompt, losses: Losses) -> None:
    state, sampling = prompt.server_state, prompt.sampling
    for feature, value in {
        "top_k": sampling.top_k,
        "frequency_penalty": sampling.frequency_penalty,
        "presence_penalty": sampling.presence_penalty,
        "seed": sampling.seed,
        "stop": sampling.stop,
        "n": None if sampling.n == 1 else sampling.n,
        "logit_bias": sampling.logit_bias,
        "modalities": None if sampling.modalities in (None, ("text",)) else sampling.modalities,
        "audio_out": sampling.audio_out,
        "prediction": sampling.prediction,
        "reasoning.binding": prompt.reasoning.binding,
        "cache.resource": prompt.cache.resource,
        "cache.auto": prompt.cache.auto,
        "safety": prompt.safety or None,
        "server_state.cached_content": state.cached_content,
        "server_state.container": state.container,
        "server_state.thread": state.thread,
        "server_state.continuation": state.continuation,
    }.items():
        if value is not None and value != ():
            losses.dropped(feature, str(value)[:80])
