"""Token counts: ``usageMetadata`` and the canonical counts."""

from __future__ import annotations

from typing import Any, Final

from llmgw.events import Usage
from llmgw.model import JSON
from llmgw_dialects.google_gemini.names import at, known

_COUNTED: Final = (
    "promptTokenCount", "cachedContentTokenCount", "candidatesTokenCount", "thoughtsTokenCount", "toolUsePromptTokenCount",
    "totalTokenCount",
)  # fmt: skip

_CAMEL: Final = frozenset({*_COUNTED, "promptTokensDetails", "candidatesTokensDetails", "cacheTokensDetails", "serviceTier",
                           "toolUsePromptTokensDetails", "trafficType"})  # fmt: skip


def read_usage(raw: JSON) -> Usage | None:
    """Read ``usageMetadata``; None where nothing is counted in it."""
    if not isinstance(raw, dict):
        return None
    get = raw.get if raw.keys() <= _CAMEL else lambda key: at(raw, key)  # nearly always spelt as Google does
    prompt, cached, candidates, thoughts, tools, total = (_number(get(key)) for key in _COUNTED)
    if all(count is None for count in (prompt, cached, candidates, thoughts, tools, total)):
        return None
    return Usage(
        input_total=None if prompt is None and tools is None else (prompt or 0) + (tools or 0),
        output_total=_output(prompt, candidates, thoughts, tools, total),
        cache_read=cached,
        reasoning=thoughts,
        tool_prompt=tools,
        audio_input=_audio(get("promptTokensDetails")),
        audio_output=_audio(get("candidatesTokensDetails")),
        raw=raw,
    )


def write_usage(usage: Usage) -> dict[str, JSON]:
    """Write ``usageMetadata``: the provider's own if it was of this dialect and is still true."""
    raw: dict[str, Any] = usage.raw if isinstance(usage.raw, dict) and any(at(usage.raw, key) for key in _COUNTED) else {}
    if raw and read_usage(raw) == usage:
        return dict(raw)
    # some providers count more thoughts than answer in all: the sum is what is paid for
    tools, thoughts = usage.tool_prompt or 0, min(usage.reasoning or 0, usage.output_total or 0)
    prompt = max(0, (usage.input_total or 0) - tools)
    said = (usage.output_total or 0) - thoughts
    told = {
        "promptTokenCount": prompt,
        "cachedContentTokenCount": usage.cache_read,
        "candidatesTokenCount": said,
        "thoughtsTokenCount": None if usage.reasoning is None else thoughts,
        "toolUsePromptTokenCount": usage.tool_prompt,
        "totalTokenCount": prompt + tools + said + thoughts,
    }
    details = {"promptTokensDetails": usage.audio_input, "candidatesTokensDetails": usage.audio_output}
    rest = known(raw, *_COUNTED)
    for key, count in details.items():
        if count is not None and _audio(at(rest, key)) != count:
            rest[key] = [{"modality": "AUDIO", "tokenCount": count}]
    return {**{key: value for key, value in told.items() if value is not None}, **rest}


def _output(*counts: int | None) -> int | None:
    """Early chunks count but the prompt and the sum; thoughts are not among the candidates' tokens."""
    prompt, candidates, thoughts, tools, total = counts
    if candidates is None and total is not None and prompt is not None:
        return max(0, total - prompt - (tools or 0), thoughts or 0)
    return None if candidates is None and thoughts is None else (candidates or 0) + (thoughts or 0)


def _audio(details: JSON) -> int | None:
    for entry in details if isinstance(details, list) else ():
        if isinstance(entry, dict) and entry.get("modality") == "AUDIO":
            return _number(at(entry, "tokenCount"))
    return None


def _number(value: JSON) -> int | None:
    return int(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None
