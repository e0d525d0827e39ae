"""Z.ai (Zhipu), whose models are called GLM: paid by use, or by its Coding Plan."""

from __future__ import annotations

from llmgw_zai.backend import Zai
from llmgw_zai.plan import ZaiCodingPlan

__all__ = ["Zai", "ZaiCodingPlan"]
