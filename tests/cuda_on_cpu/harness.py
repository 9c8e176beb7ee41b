"""Builds CUDA text for the CPU and stands in for the device: same launches, same argument types, scipy's transforms."""

import ctypes
import re
import subprocess
from pathlib import Path

import numpy as np
import scipy.fft

AXES = (-3, -2, -1)
KERNEL = re.compile(r'extern "C" __global__ void (\w+)\(([^)]*)\)')
DTYPES = {"float2": "complex64", "float": "float32", "int": "int32", "long long": "int64", "bool": "bool"}


def signatures(text):
    """Names of the kernels of `text`, with the type of every argument and whether it points to many."""
    found = {}
    for name, arguments in KERNEL.findall(text):
        plain = [re.sub(r"__restrict__|const", "", a).strip() for a in arguments.split(",")]
        found[name] = [(re.sub(r"\s*\*?\s*\w+$", "", a).strip(), "*" in a) for a in plain]
    return found


def build(text, folder, *options):
    """Compile `text` for the CPU; return the path of the library."""
    wrappers = []
    for name, arguments in signatures(text).items():
        taken = ", ".join(f"*({kind}{'*' * many}*)a[{i}]" for i, (kind, many) in enumerate(arguments))
        wrappers.append(f"static void shim_{name}(void** a) {{ {name}({taken}); }}")
        wrappers.append(
            f'extern "C" void launch_{name}(void** a, unsigned across, unsigned down, int threads, int order)\n'
            f"{{ shim_run(shim_{name}, a, across, down, threads, order); }}"
        )
    folder = Path(folder)
    unit, library = folder / "kernels.cpp", folder / "kernels.so"
    unit.write_text("\n".join(['#include "shim.h"', text, *wrappers]))
    command = ["g++", "-std=c++17", "-O1", "-g", "-Wall", "-Werror", "-shared", "-fPIC", f"-I{Path(__file__).parent}", *options]
    subprocess.run([*command, "-o", str(library), str(unit)], check=True, capture_output=True, text=True)
    return library


class OnCpu:
    """A device that is this processor: strict about what it is given, as a GPU is not.

    Parameters
    ----------
    threads : int, optional
        Threads of a block, instead of what the caller asks for.
    order : {0, 1, 2}
        In which order the threads of a block take turns.
    """

    def __init__(self, text, library, *, threads=None, order=0):
        self._signatures, self._library = signatures(text), ctypes.CDLL(str(library))
        self._threads, self._order = threads, order
        self.launched = []

    def launch(self, kernel, grid, threads, *arguments):
        expected = self._signatures[kernel]
        assert len(arguments) == len(expected), f"{kernel} takes {len(expected)} arguments, got {len(arguments)}"
        held = []
        for i, ((kind, many), value) in enumerate(zip(expected, arguments, strict=True)):
            assert str(value.dtype) == DTYPES[kind], f"{kernel}, argument {i}: {value.dtype}, expected {DTYPES[kind]}"
            assert isinstance(value, np.ndarray) == many, f"{kernel}, argument {i}: {type(value).__name__}"
            assert not many or value.flags.c_contiguous, f"{kernel}, argument {i} is not contiguous"
            held.append(ctypes.c_void_p(value.ctypes.data) if many else np.ctypeslib.as_ctypes_type(value.dtype)(value))
        pointers = (ctypes.c_void_p * len(held))(*(ctypes.addressof(a) for a in held))
        getattr(self._library, f"launch_{kernel}")(pointers, *grid, self._threads or threads, self._order)
        self.launched.append(kernel)

    def forward(self, a, out):
        out[...] = scipy.fft.fftn(a, axes=AXES)

    def backward(self, a, out):
        out[...] = scipy.fft.ifftn(a, axes=AXES, norm="forward")

    def to_half(self, a, out):
        assert a.dtype == np.float32
        out[...] = scipy.fft.rfftn(a, axes=AXES)

    def from_half(self, a, out):
        out[...] = scipy.fft.irfftn(a, s=out.shape[-3:], axes=AXES, norm="forward")
        a[...] = np.nan  # cuFFT leaves no more there
