"""The version, in one place: the distribution's own."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

try:
    VERSION = version("llmgw")
except PackageNotFoundError:  # a checkout that was never installed
    VERSION = "0+checkout"
