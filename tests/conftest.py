"""Shared fixtures: every kernel test runs on every array library at hand. BLAS has one thread."""

import importlib
import importlib.util
import os
from pathlib import Path

import pytest


def load_with_one_thread(*libraries):
    """Load BLAS with one thread, as xcdi does in its own processes; those that tests start find the environment as it was."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
    ours = [name for name in names if name not in os.environ]
    os.environ.update(dict.fromkeys(ours, "1"))
    for library in libraries:
        importlib.import_module(library)
    for name in ours:
        del os.environ[name]


load_with_one_thread("numpy", "scipy.linalg")
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
    return lambda array: array.get() if hasattr(array, "get") else importlib.import_module("numpy").asarray(array)
