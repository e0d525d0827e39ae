"""What Z.ai's errors mean: a number says it, whatever the HTTP status (docs.z.ai/api-reference/api-code)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from email.utils import parsedate_to_datetime
from typing import Any, Final

from attrs import evolve

from llmgw import jsons
from llmgw.errors import Kind, UpstreamError

_QUOTA: Final = frozenset({"1304", "1308", "1310", "1316", "1317", "1318", "1319", "1320", "1321"})
"""Used up, until a time that the message tells."""
_DAILY: Final = "1304"
"""The one that counts by days, whose message tells no time."""
_KINDS: Final[Mapping[str, Kind]] = {
    **dict.fromkeys(("1000", "1001", "1002", "1003", "1004"), "authentication"),
    **dict.fromkeys(("1110", "1111", "1112", "1121", "1220", "1313"), "permission"),
    **dict.fromkeys(("1113", "1309", *_QUOTA), "billing"),
    **dict.fromkeys(("1210", "1212", "1213", "1214", "1215"), "invalid_request"),
    **dict.fromkeys(("1211", "1311"), "model_not_found"),
    **dict.fromkeys(("1302", "1303"), "rate_limited"),
    **dict.fromkeys(("1120", "1305", "1312"), "overloaded"),
    "1261": "context_length",
    **dict.fromkeys(("1300", "1301"), "content_policy"),
    **dict.fromkeys(("1221", "1222"), "not_found"),
    "1231": "conflict",
}
_STATUSES: Final[Mapping[Kind, int]] = {
    "authentication": 401, "permission": 403, "billing": 402, "invalid_request": 400, "model_not_found": 404,
    "rate_limited": 429, "overloaded": 503, "not_found": 404, "conflict": 409, "context_length": 400, "content_policy": 400,
}  # fmt: skip
"""For those that came under a status that no client knows."""
_STRANGE: Final = (434, 435)
_SHANGHAI: Final = timezone(timedelta(hours=8))
"""Where Z.ai's clocks are; it has had no summer time since 1991."""
_TIME: Final = re.compile(r"\d{4}-\d{2}-\d{2}[ T]\d{2}:\d{2}:\d{2}")
_ADVICE: Final[Mapping[str, str]] = {
    "1110": "The account is not active: sign in at Z.ai and see.",
    "1112": "The account is locked: ask Z.ai's support.",
    "1121": "The account is locked: ask Z.ai's support.",
    "1211": "The models there are: llmgw doctor, or GET /v1/models.",
    "1261": "Shorten the prompt, or ask a model with a longer context.",
}
_OWN: Final[Mapping[bool, Mapping[str, str]]] = {
    False: {
        "1113": "Add credit at https://z.ai/manage-apikey/billing. A key of the Coding Plan is not taken here: its back-end is "
        "'zai-coding-plan', for the tools that the plan is for.",
    },
    True: {
        "1113": "This key has no Coding Plan: with a key that is paid by use, take the back-end 'zai'.",
        "1309": "The Coding Plan has ended: renew it at https://z.ai/subscribe, or take the back-end 'zai', paid by use.",
        "1311": "The plan does not have this model: ask one that it lists, or take the back-end 'zai', which is paid by use.",
        "1313": "The plan is for Z.ai's listed tools alone, and its fair use was exceeded: take the back-end 'zai', paid by use.",
        **dict.fromkeys(_QUOTA, "To go on at once, take the back-end 'zai', which is paid by use, or another model."),
    },
}


def explained(error: UpstreamError, *, key: str, plan: bool, now: float) -> UpstreamError:
    """An error, classed by its number, with what to do next.

    Args:
        error: as the dialect has read it.
        key: the variable that the key is from.
        plan: whether the Coding Plan was asked.
        now: Unix seconds, for where the answer has no date.
    """
    code = code_of(error)
    kind = _KINDS.get(code)
    if kind is not None:
        error.kind, error.code = kind, code
        if _is_strange(error):
            error.status = _STATUSES[kind]
    if kind in ("billing", "permission", "model_not_found"):
        error.retry_after = None
    if code in _QUOTA:
        error.retry_after = until(error, now)
    told = _OWN[plan].get(code) or _ADVICE.get(code, "")
    if error.kind == "authentication":
        told = f"Is the key in {key or 'the configuration'} right, and of the region that the back-end asks?"
    return _saying(error, told) if told or _is_strange(error) or "error" not in _loaded(error) else error


def code_of(error: UpstreamError) -> str:
    """The number in an error's body, whose shape depends on the endpoint; empty where there is none."""
    tree = _loaded(error)
    inner = tree.get("error")
    places = [inner.get("code"), inner.get("type")] if isinstance(inner, dict) else []
    told = [str(one) for one in (*places, tree.get("code"))]
    return next((one for one in told if one in _KINDS), "")


def until(error: UpstreamError, now: float) -> float | None:
    """Seconds until the time that a message tells, by the server's own clock where it shows it."""
    found = _TIME.search(error.message)
    if found is None:
        return _until_midnight(_served(error, now)) if error.code == _DAILY else None
    try:
        reset = datetime.fromisoformat(found[0]).replace(tzinfo=_SHANGHAI).timestamp()
    except ValueError:  # no day of any month
        return None
    return max(0.0, reset - _served(error, now))


def _until_midnight(now: float) -> float:
    here = datetime.fromtimestamp(now, _SHANGHAI)
    return (here.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1) - here).total_seconds()


def _served(error: UpstreamError, now: float) -> float:
    headers = error.upstream.headers if error.upstream is not None else {}
    try:
        return parsedate_to_datetime(headers["date"]).timestamp()
    except (KeyError, ValueError, TypeError):
        return now


def _is_strange(error: UpstreamError) -> bool:
    return error.upstream is not None and error.upstream.status in _STRANGE


def _loaded(error: UpstreamError) -> dict[str, Any]:
    try:
        tree = jsons.loads(error.upstream.body) if error.upstream is not None else None
    except jsons.JsonError:
        return {}
    return tree if isinstance(tree, dict) else {}


def _saying(error: UpstreamError, told: str) -> UpstreamError:
    error.message = f"{error.message.rstrip()} {told}".rstrip()
    error.args = (error.message,)
    if error.upstream is not None:  # else a client of this dialect would get the bare words
        error.upstream = evolve(error.upstream, dialect="")
    return error
