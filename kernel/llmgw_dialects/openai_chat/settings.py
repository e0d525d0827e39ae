"""The fields beside messages and tools: sampling, reasoning, output, caching and the rest."""

from __future__ import annotations

from typing import Any, Final

from llmgw.model import JSON, CachePolicy, OutputFormat, Prompt, ReasoningConfig, Sampling, ServerState
from llmgw_dialects.fields import (
    invalid,
    opt_bool,
    opt_int,
    opt_number,
    opt_object,
    opt_string,
    opt_strings,
    string,
)
from llmgw_dialects.losses import Losses

_SAME: Final = (
    "temperature", "top_p", "frequency_penalty", "presence_penalty", "top_k", "seed", "n", "logprobs", "top_logprobs",
    "logit_bias", "verbosity",
)  # fmt: skip
_BUDGETS: Final = ((0, "none"), (512, "minimal"), (1024, "low"), (8192, "medium"), (24576, "high"))
_THINKING: Final[dict[str, Any]] = {
    "disabled": "off", "adaptive": "adaptive", "between_tools": "between_tools", "enabled": "auto",
}  # fmt: skip
_WRITTEN_THINKING: Final = {mode: word for word, mode in _THINKING.items()} | {"budget": "enabled"}


def read_settings(tree: dict[str, Any]) -> dict[str, Any]:
    """Read what a ``Prompt`` has beside items, tools and tool choice, as its keyword arguments."""
    store = opt_bool(tree, "store", ())
    return {
        "parallel_tools": opt_bool(tree, "parallel_tool_calls", ()),
        "sampling": _sampling(tree),
        "reasoning": _reasoning(tree),
        "output": _output(tree),
        "cache": _cache(tree),
        "safety_id": opt_string(tree, "safety_identifier", ()),
        "server_state": ServerState(store=store),
        "tier": opt_string(tree, "service_tier", ()),
        "end_user": opt_string(tree, "user", ()),
        "metadata": _metadata(tree),
    }


def write_settings(prompt: Prompt, like: dict[str, Any], losses: Losses) -> dict[str, JSON]:
    """Write them.

    Args:
        prompt: what to write of.
        like: a body whose spelling to follow where there are several; empty for OpenAI's own.
        losses: takes what Chat cannot say.
    """
    sampling = prompt.sampling
    out: dict[str, JSON] = {}
    limits = [key for key in ("max_completion_tokens", "max_tokens") if like.get(key) is not None]
    out.update(dict.fromkeys(limits or ["max_completion_tokens"], sampling.max_output))
    out |= {key: getattr(sampling, key) for key in _SAME}
    out |= {
        "stop": list(sampling.stop) or None,
        "modalities": None if sampling.modalities is None else list(sampling.modalities),
        "audio": sampling.audio_out,
        "prediction": sampling.prediction,
        "parallel_tool_calls": prompt.parallel_tools,
        "response_format": None if prompt.output is None else _write_output(prompt.output, losses),
        "prompt_cache_key": prompt.cache.key,
        "prompt_cache_options": _present({"mode": prompt.cache.mode, "ttl": prompt.cache.ttl}) or None,
        "prompt_cache_retention": prompt.cache.retention,
        "safety_identifier": prompt.safety_id,
        "user": prompt.end_user,
        "metadata": None if prompt.metadata is None else dict(prompt.metadata),
        "service_tier": prompt.tier,
        "store": prompt.server_state.store,
        **_write_reasoning(prompt.reasoning, like, losses),
    }
    _lost_settings(prompt, losses)
    return _present(out)


def _sampling(tree: dict[str, Any]) -> Sampling:
    limit = opt_int(tree, "max_completion_tokens", ())
    return Sampling(
        max_output=opt_int(tree, "max_tokens", ()) if limit is None else limit,
        stop=opt_strings(tree, "stop", ()) or (),
        logprobs=opt_bool(tree, "logprobs", ()),
        logit_bias=opt_object(tree, "logit_bias", ()),
        verbosity=opt_string(tree, "verbosity", ()),
        modalities=opt_strings(tree, "modalities", ()),
        audio_out=opt_object(tree, "audio", ()),
        prediction=opt_object(tree, "prediction", ()),
        temperature=opt_number(tree, "temperature", ()),
        top_p=opt_number(tree, "top_p", ()),
        frequency_penalty=opt_number(tree, "frequency_penalty", ()),
        presence_penalty=opt_number(tree, "presence_penalty", ()),
        top_k=opt_int(tree, "top_k", ()),
        seed=opt_int(tree, "seed", ()),
        n=opt_int(tree, "n", ()),
        top_logprobs=opt_int(tree, "top_logprobs", ()),
    )


def _reasoning(tree: dict[str, Any]) -> ReasoningConfig:
    """OpenAI's ``reasoning_effort``, OpenRouter's ``reasoning``, and ``thinking`` of DeepSeek, z.ai and LiteLLM."""
    effort = opt_string(tree, "reasoning_effort", ())
    nested = opt_object(tree, "reasoning", ()) or {}
    thinking = opt_object(tree, "thinking", ()) or {}
    mode: Any = "unset"
    budget = opt_int(nested, "max_tokens", ("reasoning",))
    if nested.get("enabled") is False:
        mode = "off"
    if thinking:
        mode = _THINKING.get(str(thinking.get("type")), "unset")
        given = opt_int(thinking, "budget_tokens", ("thinking",))
        budget = budget if given is None else given
    if mode in ("unset", "auto") and budget is not None:
        mode = "budget"
    return ReasoningConfig(
        mode=mode,
        effort=effort or opt_string(nested, "effort", ("reasoning",)),
        budget=budget,
        show="omitted" if opt_bool(nested, "exclude", ("reasoning",)) else None,
    )


def _write_reasoning(config: ReasoningConfig, like: dict[str, Any], losses: Losses) -> dict[str, JSON]:
    nested, thinking = isinstance(like.get("reasoning"), dict), isinstance(like.get("thinking"), dict)
    out: dict[str, JSON] = {}
    if nested:
        told: dict[str, JSON] = {"exclude": True if config.show == "omitted" else None}
        if not thinking:  # which says these where there are both
            told |= {"max_tokens": config.budget, "enabled": False if config.mode == "off" else None}
        told["effort"] = config.effort if like.get("reasoning_effort") is None else None
        out["reasoning"] = _present(told)
    if thinking:
        out["thinking"] = _present({"type": _WRITTEN_THINKING.get(config.mode), "budget_tokens": config.budget})
    if nested and like.get("reasoning_effort") is None:
        return out
    if config.effort is not None or thinking or nested:
        return out | {"reasoning_effort": config.effort}
    return {"reasoning_effort": _effort(config, losses)}


def _effort(config: ReasoningConfig, losses: Losses) -> str | None:
    if config.mode == "off":
        return "none"
    if config.budget is None:
        return None
    effort = next((name for most, name in _BUDGETS if config.budget <= most), "xhigh")
    losses.approximated("reasoning.budget", str(config.budget), effort)
    return effort


def _output(tree: dict[str, Any]) -> OutputFormat | None:
    given = opt_object(tree, "response_format", ())
    if given is None:
        return None
    match given.get("type"):
        case "text" | "json_object" as kind:
            # Some vendors take a schema beside it; OpenAI does not, and it stays in the body.
            return OutputFormat(kind=kind, schema=given.get("schema"))
        case "json_schema":
            schema = opt_object(given, "json_schema", ("response_format",)) or {}
            path = ("response_format", "json_schema")
            return OutputFormat(
                kind="json_schema",
                name=opt_string(schema, "name", path),
                description=opt_string(schema, "description", path),
                schema=schema.get("schema"),
                strict=opt_bool(schema, "strict", path),
            )
        case _:  # another vendor's, as a grammar; it stays in the body
            string(given, "type", ("response_format",))
            return None


def _write_output(output: OutputFormat, losses: Losses) -> JSON:
    if output.kind == "mime":
        losses.dropped("response_format.mime", output.mime or "")
        return None
    if output.kind != "json_schema":
        return {"type": output.kind, **_present({"schema": output.schema})}
    told = {"name": output.name or "response", "description": output.description, "schema": output.schema}
    return {"type": "json_schema", "json_schema": _present({**told, "strict": output.strict})}


def _cache(tree: dict[str, Any]) -> CachePolicy:
    options = opt_object(tree, "prompt_cache_options", ()) or {}
    return CachePolicy(
        key=opt_string(tree, "prompt_cache_key", ()),
        mode=opt_string(options, "mode", ("prompt_cache_options",)),
        ttl=opt_string(options, "ttl", ("prompt_cache_options",)),
        retention=opt_string(tree, "prompt_cache_retention", ()),
    )


def _metadata(tree: dict[str, Any]) -> dict[str, str] | None:
    metadata = opt_object(tree, "metadata", ())
    for key, value in (metadata or {}).items():
        if not isinstance(value, str):
            raise invalid(("metadata", key), "a string", value)
    return metadata


def _lost_settings(prompt: Prompt, losses: Losses) -> None:
    state = prompt.server_state
    for feature, value in {
        "max_tool_calls": prompt.max_tool_calls,
        "reasoning.context": prompt.reasoning.context,
        "reasoning.pro_mode": prompt.reasoning.pro_mode,
        "reasoning.binding": prompt.reasoning.binding,
        "cache.resource": prompt.cache.resource,
        "cache.auto": prompt.cache.auto,
        "safety": prompt.safety,
        "include": prompt.include,
        "server_state.previous_response_id": state.previous_response_id,
        "server_state.conversation": state.conversation,
        "server_state.background": state.background,
        "server_state.prompt_template": state.prompt_template,
        "server_state.cached_content": state.cached_content,
        "server_state.container": state.container,
    }.items():
        if value:
            losses.dropped(feature, str(value)[:80])


def _present(node: dict[str, JSON]) -> dict[str, JSON]:
    return {key: value for key, value in node.items() if value is not None}
