"""The fields beside contents and tools: generation, thinking, the form of the answer, safety and the rest."""

from __future__ import annotations

from typing import Any, Final

from llmgw.model import JSON, CachePolicy, OutputFormat, Prompt, ReasoningConfig, Sampling, ServerState
from llmgw.splice import Path
from llmgw_dialects.google_gemini.names import at, has, key_of, object_of
from llmgw_dialects.google_gemini.schemas import json_schema
from llmgw_dialects.google_gemini.tools import read_choice, write_choice
from llmgw_dialects.google_gemini.typed import listed, opt_bool, opt_int, opt_number, opt_object, opt_string, opt_strings
from llmgw_dialects.losses import Losses

SPELLED: Final = {
    "max_output": "maxOutputTokens", "temperature": "temperature", "top_p": "topP", "top_k": "topK",
    "frequency_penalty": "frequencyPenalty", "presence_penalty": "presencePenalty", "seed": "seed", "stop": "stopSequences",
    "n": "candidateCount", "logprobs": "responseLogprobs", "top_logprobs": "logprobs", "modalities": "responseModalities",
    "reasoning.effort": "thinkingConfig.thinkingLevel", "reasoning.budget": "thinkingConfig.thinkingBudget",
    "reasoning": "thinkingConfig", "reasoning.show": "thinkingConfig.includeThoughts",
    "response_format": "responseJsonSchema", "response_format.mime": "responseMimeType",
}  # fmt: skip
"""Canonical settings under ``generationConfig``."""
SPELLED_TOP: Final = {
    "model": "model", "items": "contents", "tools": "tools", "tool_choice": "toolConfig.functionCallingConfig",
    "safety": "safetySettings", "cache.resource": "cachedContent", "server_state.continuation": "continuationToken",
    "tier": "serviceTier", "metadata": "labels", "server_state.store": "store",
}  # fmt: skip
_TIERS: Final = frozenset({"flex", "standard", "priority"})
_EFFORTS: Final = {
    "minimal": "MINIMAL", "low": "LOW", "medium": "MEDIUM", "high": "HIGH", "xhigh": "XHIGH", "max": "XHIGH",
}  # fmt: skip


def spelled(setting: str) -> str:
    """How a client of this dialect spells a canonical setting."""
    if setting in SPELLED:
        return f"generationConfig.{SPELLED[setting]}"
    return SPELLED_TOP.get(setting, setting)


# ---- reading ------------------------------------------------------------------------------------


def read_settings(inner: dict[str, Any], root: Path) -> dict[str, Any]:
    """Read what a ``Prompt`` has beside items and tools, as its keyword arguments."""
    config, path = opt_object(inner, "generationConfig", root) or {}, (*root, key_of(inner, "generationConfig"))
    cached = opt_string(inner, "cachedContent", root)
    return {
        "tool_choice": read_choice(inner, root),
        "sampling": _sampling(config, path),
        "reasoning": _reasoning(config, path),
        "output": _output(config, path),
        "cache": CachePolicy(resource=cached),
        "safety": tuple(entry for _, entry in listed(inner, "safetySettings", root)),
        "server_state": ServerState(
            store=opt_bool(inner, "store", root),
            cached_content=cached,
            continuation=opt_string(inner, "continuationToken", root),
        ),
        "tier": _tier(at(inner, "serviceTier")),
        "metadata": _labels(opt_object(inner, "labels", root)),
    }


def _sampling(config: dict[str, Any], path: Path) -> Sampling:
    modalities = at(config, "responseModalities")
    words = [one for one in modalities if isinstance(one, str)] if isinstance(modalities, list) else []
    return Sampling(
        max_output=opt_int(config, "maxOutputTokens", path),
        temperature=opt_number(config, "temperature", path),
        top_p=opt_number(config, "topP", path),
        top_k=opt_int(config, "topK", path),
        frequency_penalty=opt_number(config, "frequencyPenalty", path),
        presence_penalty=opt_number(config, "presencePenalty", path),
        seed=opt_int(config, "seed", path),
        stop=opt_strings(config, "stopSequences", path) or (),
        n=opt_int(config, "candidateCount", path),
        logprobs=opt_bool(config, "responseLogprobs", path),
        top_logprobs=opt_int(config, "logprobs", path),
        modalities=tuple(word.lower() for word in words) or None,
    )


def _reasoning(config: dict[str, Any], path: Path) -> ReasoningConfig:
    given, here = opt_object(config, "thinkingConfig", path) or {}, (*path, key_of(config, "thinkingConfig"))
    budget, level = opt_int(given, "thinkingBudget", here), at(given, "thinkingLevel")
    shown = opt_bool(given, "includeThoughts", here)
    mode: Any = "unset" if budget is None else {0: "off", -1: "auto"}.get(budget, "budget")
    effort = level.lower() if isinstance(level, str) and not level.endswith("UNSPECIFIED") else None
    return ReasoningConfig(
        mode=mode,
        effort=effort,
        budget=budget if mode == "budget" else None,
        show=None if shown is None else "auto" if shown else "omitted",
    )


def _output(config: dict[str, Any], path: Path) -> OutputFormat | None:
    mime = opt_string(config, "responseMimeType", path)
    schema = at(config, "responseJsonSchema")
    if schema is None:
        schema = json_schema(at(config, "responseSchema"))
    match mime:
        case None | "application/json" if schema is not None:
            return OutputFormat(kind="json_schema", schema=schema)
        case "application/json":
            return OutputFormat(kind="json_object")
        case None:
            return None
        case "text/plain":
            return OutputFormat(kind="text")
        case _:
            return OutputFormat(kind="mime", mime=mime, schema=schema)


def _tier(value: JSON) -> str | None:
    return value.lower() if isinstance(value, str) and value.lower() != "unspecified" else None


def _labels(labels: dict[str, Any] | None) -> dict[str, str] | None:
    return None if labels is None else {key: value for key, value in labels.items() if isinstance(value, str)}


# ---- writing ------------------------------------------------------------------------------------


def write_settings(prompt: Prompt, like: dict[str, Any], losses: Losses) -> dict[str, JSON]:
    """Write them.

    Args:
        prompt: what to write of.
        like: a request whose spelling to follow where there are several; empty for Google's own.
        losses: takes what Google cannot say.
    """
    config = _present(
        {
            **_write_sampling(prompt.sampling),
            **_write_output(prompt.output, object_of(like, "generationConfig"), losses),
            "thinkingConfig": _write_reasoning(prompt.reasoning, losses) or None,
        }
    )
    tier = prompt.tier if prompt.tier in _TIERS else None
    if prompt.tier and tier is None:
        losses.dropped("tier", prompt.tier)
    out: dict[str, JSON] = {
        **write_choice(prompt.tool_choice, losses),
        "generationConfig": config or None,
        "safetySettings": list(prompt.safety) or None,
        "cachedContent": prompt.cache.resource or prompt.server_state.cached_content,
        "continuationToken": prompt.server_state.continuation,
        "serviceTier": tier,
        **_write_kept(prompt, like, losses),
    }
    _lost_settings(prompt, losses)
    return _present(out)


def _write_sampling(sampling: Sampling) -> dict[str, JSON]:
    out: dict[str, JSON] = {SPELLED[name]: getattr(sampling, name) for name in SPELLED if hasattr(sampling, name)}
    out["stopSequences"] = list(sampling.stop) or None
    out["responseModalities"] = [word.upper() for word in sampling.modalities] if sampling.modalities else None
    return out


def _write_reasoning(config: ReasoningConfig, losses: Losses) -> dict[str, JSON]:
    out: dict[str, JSON] = {}
    if config.show is not None:
        out["includeThoughts"] = config.show != "omitted"
    if config.mode == "off" or config.effort == "none":
        return {**out, "thinkingBudget": 0}
    if config.budget is not None:
        return {**out, "thinkingBudget": config.budget}
    if config.effort is not None:
        level = _EFFORTS.get(config.effort, config.effort.upper())
        if level.lower() != config.effort:
            losses.approximated("reasoning.effort", config.effort, level)
        return {**out, "thinkingLevel": level}
    return {**out, "thinkingBudget": -1} if config.mode in ("auto", "adaptive", "between_tools") else out


def _write_output(output: OutputFormat | None, like: dict[str, Any], losses: Losses) -> dict[str, JSON]:
    if output is None:
        return {}
    if output.description:
        losses.dropped("response_format.description")
    key = "responseSchema" if has(like, "responseSchema") or output.kind == "mime" else "responseJsonSchema"
    mime = at(like, "responseMimeType")
    match output.kind:
        case "json_schema":
            return {"responseMimeType": mime if like and mime is None else "application/json", key: output.schema}
        case "json_object":
            return {"responseMimeType": "application/json"}
        case "mime":
            return {"responseMimeType": output.mime, key: output.schema}
        case _:
            return {"responseMimeType": "text/plain"} if mime == "text/plain" else {}


def _write_kept(prompt: Prompt, like: dict[str, Any], losses: Losses) -> dict[str, JSON]:
    """What only some of Google's services take: written where the client wrote it."""
    out: dict[str, JSON] = {}
    for feature, key, value in (
        ("metadata", "labels", None if prompt.metadata is None else dict(prompt.metadata)),
        ("server_state.store", "store", prompt.server_state.store),
    ):
        if has(like, key):
            out[key] = value
        elif value is not None:
            losses.dropped(feature)
    return out


def _lost_settings(prompt: Prompt, losses: Losses) -> None:
    state, sampling = prompt.server_state, prompt.sampling
    for feature, value in {
        "parallel_tools": prompt.parallel_tools is False,
        "max_tool_calls": prompt.max_tool_calls,
        "logit_bias": sampling.logit_bias,
        "verbosity": sampling.verbosity,
        "audio_out": sampling.audio_out,
        "prediction": sampling.prediction,
        "reasoning.context": prompt.reasoning.context,
        "reasoning.pro_mode": prompt.reasoning.pro_mode,
        "reasoning.binding": prompt.reasoning.binding,
        "cache.auto": prompt.cache.auto,
        "cache.key": prompt.cache.key,
        "cache.mode": prompt.cache.mode,
        "cache.retention": prompt.cache.retention,
        "end_user": prompt.end_user,
        "safety_id": prompt.safety_id,
        "include": prompt.include,
        "server_state.previous_response_id": state.previous_response_id,
        "server_state.conversation": state.conversation,
        "server_state.background": state.background,
        "server_state.prompt_template": state.prompt_template,
        "server_state.container": state.container,
        "server_state.thread": state.thread,
    }.items():
        if value:
            losses.dropped(feature, str(value)[:80])


def _present(node: dict[str, JSON]) -> dict[str, JSON]:
    return {key: value for key, value in node.items() if value is not None}
