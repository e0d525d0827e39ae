"""The fields of Chat Completions as Z.ai takes them (docs.z.ai, API reference; zai-sdk 0.2.3; litellm's zai provider)."""

from __future__ import annotations

from typing import Any, Final

from llmgw.errors import Unsupported
from llmgw.splice import KEEP
from llmgw_dialects.crossing.effort import effort_of
from llmgw_dialects.losses import Losses
from llmgw_zai.models import EFFORTS, efforts, preserves, streams_calls

LEAST: Final = 0.01
MOST: Final = 0.99
"""Both samplers are within an open interval; zai-sdk moves them here."""
USER_ID: Final = range(6, 129)
"""Characters of a ``user_id``."""

_DEFAULTS: Final[dict[str, tuple[Any, ...]]] = {
    "frequency_penalty": (0,), "presence_penalty": (0,), "parallel_tool_calls": (True,), "logprobs": (False,),
    "top_logprobs": (0,), "logit_bias": ({},), "store": (False,), "service_tier": ("auto", "default"),
    "modalities": (["text"],), "verbosity": ("medium",), "audio": (), "prediction": (), "metadata": ({},),
    "prompt_cache_key": (), "prompt_cache_retention": (), "prompt_cache_options": (), "safety_identifier": (),
    "web_search_options": (), "functions": ([],), "function_call": ("auto",), "n": (1,), "seed": (),
}  # fmt: skip
"""OpenAI's fields that Z.ai does not know, and what of them says no more than nothing does."""


def fitted(tree: dict[str, Any], model: str, losses: Losses) -> tuple[dict[str, Any], frozenset[str]]:
    """What must change in a request.

    Args:
        tree: its body.
        model: whom it is for.
        losses: takes what is not said, or said otherwise.

    Returns:
        New values by their names, and the names that go.

    Raises:
        Unsupported: several answers are wanted, or a tool is of a kind that Z.ai does not have.
    """
    if isinstance(tree.get("n"), int) and tree["n"] > 1:
        raise Unsupported("Z.ai gives one answer to a request: leave out n, or ask several times.", param="n")
    changes: dict[str, Any] = {}
    drop = _unknown(tree, losses)
    _limit(tree, changes, drop)
    _stop(tree, changes, losses)
    _samplers(tree, changes, losses)
    _thinking(tree, model, changes, drop, losses)
    _tools(tree, model, changes, drop, losses)
    _user(tree, changes, drop, losses)
    _roles(tree, changes)
    return changes, frozenset(drop)


def _unknown(tree: dict[str, Any], losses: Losses) -> set[str]:
    drop = {name for name in _DEFAULTS if name in tree}
    for name in sorted(drop):
        if tree[name] is not None and tree[name] not in _DEFAULTS[name]:
            losses.dropped(name, str(tree[name])[:80])
    return drop


def _limit(tree: dict[str, Any], changes: dict[str, Any], drop: set[str]) -> None:
    if "max_completion_tokens" in tree:
        drop.add("max_completion_tokens")
        if tree["max_completion_tokens"] is not None:
            changes["max_tokens"] = tree["max_completion_tokens"]


def _stop(tree: dict[str, Any], changes: dict[str, Any], losses: Losses) -> None:
    """One, in a list."""
    stop = tree.get("stop")
    if isinstance(stop, str):
        changes["stop"] = [stop]
    elif isinstance(stop, list) and len(stop) > 1:
        changes["stop"] = stop[:1]
        losses.dropped("stop", str(stop[1:])[:80])


def _samplers(tree: dict[str, Any], changes: dict[str, Any], losses: Losses) -> None:
    for name in ("temperature", "top_p"):
        value = tree.get(name)
        if not isinstance(value, int | float) or isinstance(value, bool) or 0 < value < 1:
            continue
        changes[name] = LEAST if value <= 0 else MOST
        if name == "temperature" and value == 0:
            changes["do_sample"] = False  # which says just that
        else:
            losses.approximated(name, str(value), str(changes[name]))


def _thinking(tree: dict[str, Any], model: str, changes: dict[str, Any], drop: set[str], losses: Losses) -> None:
    known = efforts(model)
    thinking = _given(tree, losses)
    effort = _wanted(tree, changes, drop, losses)
    if not known:
        changes.pop("reasoning_effort", None)
        drop |= {"reasoning_effort", "thinking"} & tree.keys()
        if thinking.get("type") == "enabled" or effort not in (None, "none"):
            losses.dropped("reasoning", str(effort or "enabled"))
        return
    if isinstance(effort, str):
        thinking = {**_switched(effort, known, changes, drop, losses), **thinking}
    if thinking.get("type") == "disabled" and "none" not in known:
        thinking["type"] = "enabled"
        losses.approximated("reasoning", "disabled", "enabled")
    if thinking.get("type") != "disabled" and preserves(model) and _has_thoughts(tree):
        thinking = {"type": "enabled", "clear_thinking": False, **thinking}  # else the server throws them away
    if thinking:
        changes["thinking"] = thinking


def _wanted(tree: dict[str, Any], changes: dict[str, Any], drop: set[str], losses: Losses) -> Any:
    """The effort, in OpenAI's field or in OpenRouter's, which Z.ai does not know."""
    nested, effort = tree.get("reasoning"), tree.get("reasoning_effort")
    drop |= {"reasoning"} & tree.keys()
    if effort is not None or not isinstance(nested, dict):
        return effort
    effort = nested.get("effort")
    if effort is None and isinstance(nested.get("max_tokens"), int):
        effort = effort_of(nested["max_tokens"])
        losses.approximated("reasoning.budget", str(nested["max_tokens"]), effort)
    effort = "none" if effort is None and nested.get("enabled") is False else effort
    if isinstance(effort, str):
        changes["reasoning_effort"] = effort
    return effort


def _switched(effort: str, known: tuple[str, ...], changes: dict[str, Any], drop: set[str], losses: Losses) -> dict[str, Any]:
    """An effort as the model takes it: as it is, as the nearest it knows, or as a switch.

    GLM-5.2 is also told by the switch not to think, which all endpoints know.
    """
    if known == ("none", "high") or (effort == "none" and "none" in known):
        drop.add("reasoning_effort")
        changes.pop("reasoning_effort", None)
        wanted = "disabled" if effort == "none" else "enabled"
        if effort not in known:
            losses.approximated("reasoning", effort, wanted)
        return {"type": wanted}
    if effort not in known:
        changes["reasoning_effort"] = nearest(effort, known)
        losses.approximated("reasoning", effort, changes["reasoning_effort"])
    return {}


def nearest(effort: str, known: tuple[str, ...]) -> str:
    """The least of the efforts that is not below this one; the greatest of all for a word that nobody knows.

    Args:
        effort: what is wanted.
        known: what there is, from the least on.
    """
    wanted = EFFORTS.index(effort) if effort in EFFORTS else len(EFFORTS)
    return next((one for one in known if EFFORTS.index(one) >= wanted), known[-1])


def _given(tree: dict[str, Any], losses: Losses) -> dict[str, Any]:
    """What the client says, without what others than Z.ai have there."""
    given = tree.get("thinking")
    if not isinstance(given, dict):
        return {}
    thinking = {name: value for name, value in given.items() if name != "budget_tokens"}
    if thinking.get("type") not in ("enabled", "disabled", None):
        thinking["type"] = "enabled"
    if given.get("budget_tokens") is not None:
        losses.approximated("reasoning.budget", str(given["budget_tokens"]), "enabled")
    return thinking


def _has_thoughts(tree: dict[str, Any]) -> bool:
    return any(isinstance(one, dict) and one.get("reasoning_content") for one in tree.get("messages", ()))


def _tools(tree: dict[str, Any], model: str, changes: dict[str, Any], drop: set[str], losses: Losses) -> None:
    for n, tool in enumerate(tree.get("tools") or ()):
        if isinstance(tool, dict) and tool.get("type") == "custom":
            raise Unsupported(
                f"Z.ai has no tools that take free text ('tools[{n}]'): declare a function with one string instead.",
                param=f"tools[{n}]",
            )
    if tree.get("tool_choice") == "none":  # Z.ai knows ``auto`` alone: what is not there cannot be called
        drop |= {"tools", "tool_choice"} & tree.keys()
        losses.emulated("tool_choice", "no tools")
    elif tree.get("stream") is True and tree.get("tools") and "tool_stream" not in tree and streams_calls(model):
        changes["tool_stream"] = True


def _user(tree: dict[str, Any], changes: dict[str, Any], drop: set[str], losses: Losses) -> None:
    user = tree.get("user")
    if "user" in tree:
        drop.add("user")
    if isinstance(user, str) and "user_id" not in tree:
        if len(user) in USER_ID:
            changes["user_id"] = user
        else:
            losses.dropped("end_user", user[:80])


def _roles(tree: dict[str, Any], changes: dict[str, Any]) -> None:
    """Z.ai has no ``developer``; it says what ``system`` does."""
    messages = tree.get("messages")
    if isinstance(messages, list) and any(isinstance(one, dict) and one.get("role") == "developer" for one in messages):
        changes["messages"] = [
            {**dict.fromkeys(one, KEEP), "role": "system"} if isinstance(one, dict) and one.get("role") == "developer" else KEEP
            for one in messages
        ]
