"""Logging, set up once by ``llmgw serve``: text for people, JSON lines for machines; never a body, a header or a key."""

from __future__ import annotations

import logging
import sys
import time
from typing import Any

from llmgw import jsons

LEVELS = ("debug", "info", "warning", "error")

_LONGEST = 2000
"""Characters of a line; what a client sent may be longer, and it must not fill the disk."""


class _Text(logging.Formatter):
    def formatMessage(self, record: logging.LogRecord) -> str:
        record.message = _line(record.message)
        return super().formatMessage(record)

    def formatException(self, ei: Any) -> str:
        return _lines(super().formatException(ei))


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        row = {
            "time": self.formatTime(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _line(record.getMessage()),
        }
        if record.exc_info:
            row["exception"] = _lines(self.formatException(record.exc_info))
        return jsons.dumps(row).decode()

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:
        return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z"


def _line(text: str) -> str:
    """A text as one line, none too long, of characters that can be printed: what a client sent must look like nothing else."""
    shown = text[:_LONGEST]
    if not shown.isprintable():
        shown = "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in shown)[:_LONGEST]
    return shown if len(text) <= _LONGEST else f"{shown}... ({len(text)} characters)"


def _lines(text: str) -> str:
    """The same for each line of a traceback."""
    return "\n".join(map(_line, text.split("\n")))


def configure(level: str, form: str) -> None:
    """Log to stderr.

    Args:
        level: one of ``LEVELS``.
        form: ``text`` or ``json``.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json() if form == "json" else _Text("%(asctime)s %(levelname)-7s %(name)s: %(message)s"))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.getLogger("asyncio").setLevel(logging.WARNING)
