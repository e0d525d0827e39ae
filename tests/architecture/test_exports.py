"""What is public is listed, and what is listed is public."""

from __future__ import annotations

from types import ModuleType

import pytest

import llmgw
import llmgw_testing

PUBLIC = [llmgw, llmgw_testing]


@pytest.mark.parametrize("module", PUBLIC, ids=lambda module: module.__name__)
def test_all_is_complete(module: ModuleType) -> None:
    """``__all__`` names whatever can be taken from the package and is no module, and nothing else."""
    public = {name for name, value in vars(module).items() if not name.startswith("_") and not isinstance(value, ModuleType)}

    assert public - {"annotations"} == set(module.__all__)


@pytest.mark.parametrize("module", PUBLIC, ids=lambda module: module.__name__)
def test_all_is_sorted(module: ModuleType) -> None:
    """``__all__`` is sorted, so that two changes to it rarely meet."""
    assert sorted(module.__all__) == list(module.__all__)
