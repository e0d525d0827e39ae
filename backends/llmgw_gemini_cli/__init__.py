"""Gemini through Google's Code Assist, the API behind the Gemini CLI: with the CLI's own login, or a Google Cloud project."""

from __future__ import annotations

from llmgw_gemini_cli.personal import GeminiCliPersonal
from llmgw_gemini_cli.project import GeminiCliProject

__all__ = ["GeminiCliPersonal", "GeminiCliProject"]
