"""The one place that knows CuPy exists.

Kernels ask :func:`namespace` for the module that owns their arrays and never
import CuPy themselves. Stages use :func:`on_device` to say where a kernel runs.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import numpy as np

from xcdi.errors import XcdiError

__all__ = ["Array", "gpu_library", "namespace", "ndimage", "on_device", "to_device"]

Array = Any  # numpy.ndarray, cupy.ndarray, or any other array of the array-API standard


def namespace(array: Array) -> ModuleType:
    """Return the module whose functions take `array`: numpy, cupy, or a strict stand-in.

    Examples
    --------
    >>> namespace(np.ones(3)).__name__
    'numpy'
    """
    if isinstance(array, (np.ndarray, np.generic)):
        return np
    if hasattr(array, "__array_namespace__"):
        return array.__array_namespace__()
    raise TypeError(f"{type(array).__name__} is no array that follows the array-API standard")


def ndimage(array: Array) -> ModuleType:
    """Return SciPy's ``ndimage``, or CuPy's, for what the array-API standard lacks."""
    return import_module("scipy.ndimage" if namespace(array) is np else "cupyx.scipy.ndimage")


def gpu_library() -> ModuleType:
    """Return CuPy, or say how to get it.

    Raises
    ------
    XcdiError
        If CuPy is not installed, or sees no device.
    """
    if find_spec("cupy") is None:
        raise XcdiError("device='gpu' asked for, but CuPy is not installed. Install xcdi[cuda12] or xcdi[cuda13], or pass device='cpu'.")
    cupy = import_module("cupy")
    if not cupy.cuda.is_available():
        raise XcdiError("device='gpu' asked for, but CuPy sees no GPU. Check the driver with 'xcdi doctor', or pass device='cpu'.")
    return cupy


def to_device(array: Array, device: str) -> Array:
    """Return `array` on ``"cpu"`` or ``"gpu"``; no copy if it is there already.

    Raises
    ------
    XcdiError
        If `device` is neither, or there is no GPU.
    """
    if device == "cpu":
        cupy = sys.modules.get("cupy")
        return array if cupy is None else cupy.asnumpy(array)
    if device != "gpu":
        raise XcdiError(f"device is 'cpu' or 'gpu', got {device!r}")
    return gpu_library().asarray(array)


def on_device(kernel: Callable[..., Array], device: str) -> Callable[..., Array]:
    """Wrap `kernel` so that it takes and returns host arrays but runs on `device`."""

    @wraps(kernel)
    def call(*arrays: Array, **options: Any) -> Array:
        return to_device(kernel(*(to_device(a, device) for a in arrays), **options), "cpu")

    return call
