"""Shared fixtures: every kernel test runs on every array library at hand."""

import importlib
import importlib.util
import os
from pathlib import Path

import numpy as np
import pytest

LIBRARIES = [name for name in ("numpy", "array_api_strict", "cupy") if importlib.util.find_spec(name)]
MEASURED = Path(os.environ.get("XCDI_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))


@pytest.fixture(params=LIBRARIES)
def xp(request):
    """Array library under test. `array_api_strict` stands in for the GPU that CI lacks."""
    return importlib.import_module(request.param)


@pytest.fixture(scope="session")
def measured_data():
    """Folder of measured data, which is not part of the repository."""
    if not MEASURED.is_dir():
        pytest.skip(f"no measured data at {MEASURED}; set XCDI_TEST_DATA to their folder")
    return MEASURED


@pytest.fixture
def as_numpy():
    """Bring an array of any library home."""
    return lambda array: array.get() if hasattr(array, "get") else np.asarray(array)
