"""When a provider says that another try may succeed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Final

_GO_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|us|µs|ns|h|m|s)")
_GO_UNITS: Final = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_TRY_AGAIN: Final = re.compile(r"(?:try again|retry) (?:in|after) ((?:\d+(?:\.\d+)?\s?(?:ms|h|m|s)[a-z]*\s?)+)", re.IGNORECASE)
_RESETS: Final = ("requests", "tokens", "input-tokens", "output-tokens")


def retry_after(headers: Mapping[str, str], message: str = "") -> float | None:
    """Seconds to wait, from the most exact source there is.

    Args:
        headers: names in lower case.
        message: the provider's words, as ``Please try again in 1.5s``.
    """
    exact = _number(headers.get("retry-after-ms"))
    if exact is not None:
        return exact / 1000
    for told in (_retry_after(headers), _in_words(message), _reset(headers)):
        if told is not None:
            return told
    return None


def duration(text: str) -> float | None:
    """Seconds of a Go duration, as ``6m0s`` or ``20ms``; None if it is none."""
    text = text.strip()
    units = _GO_DURATION.findall(text)
    if not units or "".join(number + unit for number, unit in units) != text:
        return None
    return sum(float(number) * _GO_UNITS[unit] for number, unit in units)


def _retry_after(headers: Mapping[str, str]) -> float | None:
    told = headers.get("retry-after", "")
    seconds = _number(told)
    if seconds is not None:
        return seconds
    now = headers.get("date")  # a dialect has no clock: without the provider's own, its date says nothing
    try:
        return max(0.0, (parsedate_to_datetime(told) - parsedate_to_datetime(now)).total_seconds()) if told and now else None
    except (ValueError, TypeError):  # no date; one with a time zone and one without
        return None


def _in_words(message: str) -> float | None:
    found = _TRY_AGAIN.search(message)
    if found is None:
        return None
    units = re.findall(r"(\d+(?:\.\d+)?)\s?(ms|h|m|s)", found[1])
    return sum(float(number) * _GO_UNITS[unit] for number, unit in units)


def _reset(headers: Mapping[str, str]) -> float | None:
    """Until the limit that is used up is restored; without such a one, the longest of those told."""
    told = {name: seconds for name in _RESETS if (seconds := duration(headers.get(f"x-ratelimit-reset-{name}", ""))) is not None}
    spent = [seconds for name, seconds in told.items() if headers.get(f"x-ratelimit-remaining-{name}", "").strip() == "0"]
    return max(spent or told.values(), default=None)


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if 0 <= number < float("inf") else None
