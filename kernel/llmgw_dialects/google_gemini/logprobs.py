"""How likely each token was: ``logprobsResult``, and the list that other dialects have for it."""

from __future__ import annotations

from typing import Any

from llmgw.model import JSON
from llmgw_dialects.google_gemini.names import at, objects_of, text_of


def read_logprobs(result: JSON) -> list[JSON]:
    """One entry for each token; empty if there are none."""
    chosen = objects_of(result, "chosenCandidates")
    tops = objects_of(result, "topCandidates")
    out: list[JSON] = []
    for number, one in enumerate(chosen):
        others = objects_of(tops[number], "candidates") if number < len(tops) else []
        out.append({**_entry(one), "top_logprobs": [_entry(other) for other in others]})
    return out


def write_logprobs(entries: JSON) -> dict[str, JSON]:
    """``logprobsResult``."""
    told = [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
    out: dict[str, JSON] = {"chosenCandidates": [_written(entry) for entry in told]}
    tops = [[_written(other) for other in entry.get("top_logprobs") or () if isinstance(other, dict)] for entry in told]
    if any(tops):
        out["topCandidates"] = [{"candidates": others} for others in tops]
    return out


def _entry(one: dict[str, Any]) -> dict[str, JSON]:
    token = text_of(one, "token")
    return {"token": token, "logprob": at(one, "logProbability"), "bytes": list(token.encode("utf-8", "surrogatepass"))}


def _written(entry: dict[str, Any]) -> dict[str, JSON]:
    return {"token": entry.get("token"), "logProbability": entry.get("logprob")}
