"""The one place that knows CuPy exists.

Kernels ask :func:`namespace` for the module that owns their arrays and never
import CuPy themselves. Stages use :func:`on_device` to say where a kernel runs.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache, wraps
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import numpy as np

from xcdi.errors import XcdiError

__all__ = ["Array", "Cuda", "gpu_library", "gpu_memory", "is_on_gpu", "namespace", "ndimage", "on_device", "to_device"]

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
    if is_on_gpu(array):
        return _standard_cupy()
    if hasattr(array, "__array_namespace__"):
        return array.__array_namespace__()
    raise TypeError(f"{type(array).__name__} is no array that follows the array-API standard")


def is_on_gpu(array: Array) -> bool:
    """Return whether `array` is one of CuPy's.

    Examples
    --------
    >>> is_on_gpu(np.ones(3))
    False
    """
    return type(array).__module__.partition(".")[0] == "cupy"


class _StandardCupy(ModuleType):
    """CuPy with the few functions that differ from the array-API standard in the form of the standard."""

    def __getattr__(self, name: str) -> Any:
        return getattr(import_module("cupy"), name)

    @staticmethod
    def clip(x: Array, min: Array | float | None = None, max: Array | float | None = None) -> Array:
        """Return `x` between `min` and `max`; CuPy has other names for them."""
        return import_module("cupy").clip(x, min, max)


@cache
def _standard_cupy() -> ModuleType:
    return _StandardCupy("cupy")


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


def gpu_memory() -> tuple[int, int]:
    """Return the bytes of the GPU that are free to this process, with what its pool holds unused, and all there are."""
    cupy = gpu_library()
    free, total = cupy.cuda.Device().mem_info
    return free + cupy.get_default_memory_pool().free_bytes(), total


class Cuda:
    """Compiled kernels and planned transforms on the present GPU. Everything is queued; nothing waits.

    Parameters
    ----------
    text : str
        CUDA source. Compiled when the first kernel starts; CuPy keeps the result on disk.

    Notes
    -----
    Transforms are over the last three axes of contiguous arrays (start, z, y, x), in single precision, unnormalised.
    A plan is made once per shape and keeps its work area.
    """

    _FORWARD, _INVERSE = -1, 1  # cuFFT's

    def __init__(self, text: str) -> None:
        self._module = gpu_library().RawModule(code=text)
        self._kernels: dict[str, Callable[..., None]] = {}
        self._plans: dict[tuple[str, tuple[int, ...]], Any] = {}

    def launch(self, kernel: str, grid: tuple[int, int], threads: int, *arguments: Array) -> None:
        """Start `kernel` on blocks of `threads`; scalars must be of the kernel's own types."""
        if kernel not in self._kernels:
            self._kernels[kernel] = self._module.get_function(kernel)
        self._kernels[kernel](grid, (threads,), arguments)

    def forward(self, a: Array, out: Array) -> None:
        """Transform complex `a` into `out`, which may be `a`."""
        self._plan("C2C", a, a.shape).fft(a, out, self._FORWARD)

    def backward(self, a: Array, out: Array) -> None:
        """Transform complex `a` back into `out`, which may be `a`."""
        self._plan("C2C", a, a.shape).fft(a, out, self._INVERSE)

    def to_half(self, a: Array, out: Array) -> None:
        """Transform real `a` into the half spectrum `out`."""
        self._plan("R2C", a, a.shape).fft(a, out, self._FORWARD)

    def from_half(self, a: Array, out: Array) -> None:
        """Transform the half spectrum `a` into real `out`; `a` is lost."""
        self._plan("C2R", a, out.shape).fft(a, out, self._INVERSE)

    def _plan(self, kind: str, a: Array, shape: tuple[int, ...]) -> Any:
        key = kind, shape
        if key not in self._plans:
            fft = import_module("cupyx.scipy.fft")
            self._plans[key] = fft.get_fft_plan(a, shape=shape[-3:], axes=(-3, -2, -1), value_type=kind)
        return self._plans[key]
