"""llmgw's kernel: what a plugin may use."""

from __future__ import annotations
