"""Every CUDA kernel compiles for the devices in use, without one of them at hand."""

import ast
import ctypes
import importlib
import importlib.util
import inspect
import sys
from importlib.resources import files
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from xcdi import backend
from xcdi.kernels.phasing import cuda

KERNELS = Path(__file__).parents[2] / "xcdi" / "kernels"


@pytest.fixture(scope="module")
def nvrtc():
    found = importlib.util.find_spec("nvidia")
    libraries = [p for root in (found.submodule_search_locations if found else []) for p in Path(root).rglob("libnvrtc.so.*")]
    if not libraries:
        pytest.skip("no NVRTC here: CUDA kernels are not compiled. Install nvidia-cuda-nvrtc")
    return ctypes.CDLL(str(libraries[0]))


def compiled(nvrtc, text, *options):
    """Machine code of `text`, and what the compiler says."""
    program = ctypes.c_void_p()
    assert nvrtc.nvrtcCreateProgram(ctypes.byref(program), text.encode(), b"kernels.cu", 0, None, None) == 0
    given = (ctypes.c_char_p * len(options))(*(option.encode() for option in options))
    failed = nvrtc.nvrtcCompileProgram(program, len(options), given)
    log = _read(nvrtc, program, "ProgramLog")
    code = b"" if failed else _read(nvrtc, program, "CUBIN")
    nvrtc.nvrtcDestroyProgram(ctypes.byref(program))
    return code, log.rstrip(b"\0").decode()


def _read(nvrtc, program, what):
    size = ctypes.c_size_t()
    assert getattr(nvrtc, f"nvrtcGet{what}Size")(program, ctypes.byref(size)) == 0
    held = ctypes.create_string_buffer(size.value)
    assert getattr(nvrtc, f"nvrtcGet{what}")(program, held) == 0
    return held.raw


@pytest.mark.parametrize("device", ["sm_80", "sm_90", "sm_100"])
def test_the_kernels_compile_without_a_warning(device, nvrtc):
    code, log = compiled(nvrtc, cuda.source(), f"--gpu-architecture={device}", "--std=c++17")
    assert code.startswith(b"\x7fELF"), log
    assert not log.strip(), log


def test_a_mistake_does_not_compile(nvrtc):
    code, log = compiled(nvrtc, cuda.source().replace("sqrtf(", "squareroot("), "--gpu-architecture=sm_90")
    assert not code
    assert "squareroot" in log


def test_every_file_of_kernels_is_compiled():
    there = {p.name for p in files(cuda.__name__).iterdir() if p.name.endswith(".cu")}
    assert there == set(cuda.PARTS)
    assert {p.name for p in KERNELS.rglob("*.cu")} == there, "a folder of kernels without a test"


@pytest.fixture(scope="module")
def cupy():
    return pytest.importorskip("cupy", reason="no CuPy here: its functions are not compared with those that kernels call")


def calls(path):
    """(function, keywords, line) of everything that `path` calls as ``xp.…``."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            first, _, name = ast.unparse(node.func).partition(".")
            if first in ("xp", "self._xp"):
                yield name, [k.arg for k in node.keywords if k.arg], node.lineno


@pytest.mark.parametrize("path", sorted(KERNELS.rglob("*.py")), ids=lambda p: str(p.relative_to(KERNELS)))
def test_cupy_has_what_kernels_call(path, cupy):
    """Needs no device."""
    xp = backend._standard_cupy()
    for name, keywords, line in calls(path):
        function = xp
        for part in name.split("."):
            function = getattr(function, part)
        try:
            inspect.signature(function).bind_partial(**dict.fromkeys(keywords))
        except ValueError:
            continue  # compiled: it does not say what it takes
        except TypeError as error:
            raise AssertionError(f"{path.name}:{line}: xp.{name} in CuPy {error}") from error


def test_an_array_of_cupy_is_known_by_its_type(cupy):
    """CuPy's arrays do not say which library they follow."""
    assert cupy.ndarray.__module__.partition(".")[0] == "cupy"
    stand_in = type("ndarray", (), {"__module__": cupy.ndarray.__module__})()
    assert backend.is_on_gpu(stand_in)
    assert backend.namespace(stand_in).fft is cupy.fft


def test_cupy_is_spoken_to_in_the_words_of_the_standard(monkeypatch):
    """CuPy's clip calls its limits otherwise; the rest goes through as it is."""
    fake = SimpleNamespace(clip=lambda a, a_min, a_max: np.clip(a, a_min, a_max), maximum=np.maximum)
    monkeypatch.setitem(sys.modules, "cupy", fake)
    xp = backend.namespace(type("ndarray", (), {"__module__": "cupy"})())
    np.testing.assert_array_equal(xp.clip(np.array([-1.0, 2.0]), min=0.0), [0.0, 2.0])
    assert xp.maximum is np.maximum


class Stub:
    """What a plan is made from: an array of CuPy without a device."""

    def __init__(self, shape, dtype):
        self.shape, self.ndim, self.dtype = shape, len(shape), np.dtype(dtype)
        self.flags = SimpleNamespace(c_contiguous=True, f_contiguous=False)


NAMES = {"C2C": 0x29, "R2C": 0x2A, "C2R": 0x2C, "Z2Z": 0x69, "D2Z": 0x6A, "Z2D": 0x6C, "FORWARD": -1, "INVERSE": 1}  # of cuFFT


@pytest.fixture
def planned(cupy, monkeypatch):
    """The arguments of every plan that CuPy would ask of cuFFT, and of every transform."""
    made = []

    class Plan:
        def __init__(self, *arguments):
            self.arguments = arguments

        def fft(self, a, out, direction):
            made.append((*self.arguments, direction))

    cufft = SimpleNamespace(PlanNd=Plan, **{f"CUFFT_{name}": value for name, value in NAMES.items()})
    monkeypatch.setitem(sys.modules, "cupy.cuda.cufft", cufft)
    monkeypatch.setitem(vars(cupy.cuda), "cufft", cufft)
    for module in ("cupy.fft._fft", "cupyx.scipy.fftpack._fft"):
        monkeypatch.setattr(importlib.import_module(module), "get_plan_cache", dict)
    monkeypatch.setattr(backend, "gpu_library", lambda: SimpleNamespace(RawModule=lambda code: None))
    return made


@pytest.mark.parametrize("x", [6, 7])
def test_plans_are_for_packed_batches_of_three_axes(x, planned):
    """CuPy makes the plans from stand-ins; only cuFFT itself is missing."""
    device, full, half = backend.Cuda(""), (4, 5, x), (4, 5, x // 2 + 1)
    wave, spectrum = Stub((3, *full), np.complex64), Stub((3, *half), np.complex64)
    real = Stub((3, *full), np.float32)
    device.forward(wave, wave)
    device.backward(wave, wave)
    device.to_half(real, spectrum)
    device.from_half(spectrum, real)
    packed = {"C2C": (full, full), "R2C": (full, half), "C2R": (half, full)}
    kinds = [("C2C", "FORWARD"), ("C2C", "INVERSE"), ("R2C", "FORWARD"), ("C2R", "INVERSE")]
    for arguments, (kind, direction) in zip(planned, kinds, strict=True):
        shape, inner, in_step, in_room, outer, out_step, out_room, type_, batch = arguments[:9]
        assert (tuple(shape), type_, batch, arguments[-1]) == (full, NAMES[kind], 3, NAMES[direction])
        assert (tuple(inner), tuple(outer)) == packed[kind]
        assert (in_step, out_step) == (1, 1)
        assert (in_room, out_room) == tuple(np.prod(packed[kind], axis=1))


def test_a_plan_is_made_once_and_a_kernel_is_found_once(planned, monkeypatch):
    asked, started = [], []

    def get_function(name):
        asked.append(name)
        return lambda grid, block, arguments: started.append((name, grid, block, arguments))

    monkeypatch.setattr(backend, "gpu_library", lambda: SimpleNamespace(RawModule=lambda code: SimpleNamespace(get_function=get_function)))
    device, wave = backend.Cuda(""), Stub((3, 4, 5, 6), np.complex64)
    for _ in range(2):
        device.forward(wave, wave)
        device.launch("update", (7, 3), 256, "rho", "p")
    assert planned[0] == planned[1]
    assert len(device._plans) == 1
    assert asked == ["update"]
    assert started == 2 * [("update", (7, 3), (256,), ("rho", "p"))]
