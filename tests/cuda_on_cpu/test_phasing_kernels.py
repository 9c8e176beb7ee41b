"""The kernels of phase retrieval, run on the CPU, do what their twins do."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from cuda_on_cpu.harness import OnCpu, build, signatures

from xcdi.kernels.fourier import forward
from xcdi.kernels.phasing import moves
from xcdi.kernels.phasing.batched import Batched
from xcdi.kernels.phasing.cuda import source, twins
from xcdi.kernels.phasing.estimate import Estimate, Measured

SHAPE = (7, 11, 13)
STARTS = 3
N = np.int64(np.prod(SHAPE))
BLOCKS = 5
SIZES = [(256, 0), (96, 1), (37, 2), (1, 0)]  # threads of a block, and their order


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    if shutil.which("g++") is None:
        pytest.skip("no g++ here: the CUDA kernels are not run on the CPU")
    return build(source(), tmp_path_factory.mktemp("kernels"))


@pytest.fixture(params=SIZES, ids=lambda p: f"{p[0]} threads, order {p[1]}")
def launch(request, library):
    threads, order = request.param
    device = OnCpu(source(), library, threads=threads, order=order)
    return lambda kernel, *arguments: device.launch(kernel, (BLOCKS, STARTS), threads, *arguments)


@pytest.fixture
def rng():
    return np.random.default_rng(3)


def wave(rng, shape=(STARTS, *SHAPE)):
    return (rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype(np.complex64)


def data(rng, background):
    target = rng.uniform(0.0, 2.0, SHAPE).astype(np.float32)
    target[2, :, 3] = twins.FREE
    return twins.Data(target, np.asarray(background, np.float32), None, np.float64(1.0))


def parts(dtype=np.float32):
    return np.full((STARTS, BLOCKS), 99, dtype)


@pytest.mark.parametrize("each", [False, True], ids=["one background", "background per pixel"])
def test_impose_equals_its_twin(each, launch, rng):
    psi, told = wave(rng), data(rng, rng.random(SHAPE) if each else [0.3])
    psi[0, 0, 0, 0] = 0.0
    wanted, error = twins.impose(psi, twins.intensity(psi), told, 0.5)
    parted = parts()
    launch("impose", psi, told.target, told.background, np.int32(each), np.float32(0.5), parted, N)
    np.testing.assert_allclose(psi, wanted, rtol=2e-6)
    np.testing.assert_allclose(parted.sum(axis=1, keepdims=True), error, rtol=1e-5)


def test_impose_takes_the_counts_it_is_given(launch, rng):
    psi, told, counts = wave(rng), data(rng, [0.3]), rng.normal(1.0, 1.0, (STARTS, *SHAPE)).astype(np.float32)
    assert (counts < 0).any()
    wanted, error = twins.impose(psi, counts, told, 2.0)
    parted = parts()
    launch("impose_expected", psi, counts, told.target, told.background, np.int32(0), np.float32(2.0), parted, N)
    np.testing.assert_allclose(psi, wanted, rtol=2e-6)
    np.testing.assert_allclose(parted.sum(axis=1, keepdims=True), error, rtol=1e-5)


@pytest.mark.parametrize(("kernel", "twin"), [("intensity", twins.intensity), ("modulus", twins.modulus)])
def test_pointwise_kernels_equal_their_twins(kernel, twin, launch, rng):
    psi, out = wave(rng), np.full((STARTS, *SHAPE), np.nan, np.float32)
    launch(kernel, psi, out, N)
    np.testing.assert_allclose(out, twin(psi), rtol=1e-6)


def test_all_starts_are_multiplied_by_one_window(launch, rng):
    spectrum, window = wave(rng), rng.random(SHAPE, dtype=np.float32)
    wanted = twins.multiply(spectrum, window, 0.25)
    launch("multiply", spectrum, window, np.float32(0.25), N)
    np.testing.assert_allclose(spectrum, wanted, rtol=1e-6)


@pytest.mark.parametrize(("a", "b"), [(0.0, 0.0), (0.0, -1.0), (1.0, -0.9), (0.85, -0.7)])
def test_update_equals_its_twin(a, b, launch, rng):
    rho, p, support = wave(rng), wave(rng), rng.random((STARTS, *SHAPE)) < 0.4
    wanted, before = twins.update(rho, p, support, a, b), p.copy()
    launch("update", rho, p, support, np.float32(a), np.float32(b), N)
    np.testing.assert_allclose(rho, wanted, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(p, before)


def test_the_peak_is_the_largest_of_each_start(launch, rng):
    blurred, parted = rng.random((STARTS, *SHAPE), dtype=np.float32), parts()
    launch("peak", blurred, parted, N)
    np.testing.assert_array_equal(parted.max(axis=1), twins.peak(blurred))


def test_power_and_size_are_those_inside(launch, rng):
    blurred, support = rng.random((STARTS, *SHAPE), dtype=np.float32), rng.random((STARTS, *SHAPE)) < 0.3
    power, size = parts(), parts(np.int32)
    launch("power_inside", blurred, support, power, size, N)
    np.testing.assert_array_equal(size.sum(axis=1), support.sum(axis=(1, 2, 3)))
    np.testing.assert_allclose(np.sqrt(power.sum(axis=1) / size.sum(axis=1)), twins.rms_inside(blurred, support), rtol=1e-6)


def test_a_support_is_redrawn_only_where_enough_is_left(launch, rng):
    blurred, support = rng.random((STARTS, *SHAPE), dtype=np.float32), rng.random((STARTS, *SHAPE)) < 0.3
    level, floor = np.array([0.2, blurred[1, 4, 5, 6], 0.99], np.float32), 100  # one voxel lies on its level, and is not above it
    wanted, size = twins.redraw(blurred, level, support, floor), parts(np.int32)
    launch("count_above", blurred, level, size, N)
    np.testing.assert_array_equal(size.sum(axis=1), (blurred > level[:, None, None, None]).sum(axis=(1, 2, 3)))
    launch("redraw", blurred, level, size.sum(axis=1, dtype=np.int64), np.int64(floor), support, N)
    np.testing.assert_array_equal(support, wanted)


def test_every_order_of_the_threads_gives_the_same_bits(library, rng):
    psi, told, found = wave(rng), data(rng, [0.3]), []
    for order in (0, 1, 2):
        parted, mine = parts(), psi.copy()
        OnCpu(source(), library, order=order).launch(
            "impose", (BLOCKS, STARTS), 37, mine, told.target, told.background, np.int32(0), np.float32(1.0), parted, N
        )
        found.append(parted.tobytes() + mine.tobytes())
    assert len(set(found)) == 1


def test_a_missing_barrier_shows(tmp_path, library, rng):
    """Else the three orders would prove nothing."""
    without = source().replace("__syncthreads();", "")
    blurred, inside, wrong = rng.random((STARTS, *SHAPE), dtype=np.float32), np.ones((STARTS, *SHAPE), bool), []
    for text, folder in ((without, build(without, tmp_path)), (source(), library)):
        for order in (0, 1, 2):
            power, size = parts(), parts(np.int32)
            OnCpu(text, folder, order=order).launch("power_inside", (BLOCKS, STARTS), 37, blurred, inside, power, size, N)
            wrong.append(bool((size.sum(axis=1) != N).any()))
    assert any(wrong[:3])
    assert not any(wrong[3:])


# ---------------------------------------------------------------- the whole iteration, as it is launched


def problem(rng, coherent, background):
    truth, support, valid = wave(rng, SHAPE), np.zeros((STARTS, *SHAPE), bool), np.ones(SHAPE, bool)
    for start in range(STARTS):
        support[start, 1:5, 2 + start : 8, 3:9] = True
    valid[2, :, 3] = False
    amplitude = np.where(valid, np.abs(forward(truth * support[0])), np.nan).astype(np.float32)
    lag = np.fft.rfftn(np.exp(-0.05 * sum(np.minimum(i, n - i) ** 2 for i, n in zip(np.indices(SHAPE), SHAPE, strict=True)))).real
    measured = Measured(amplitude, valid, background, None if coherent else (lag / lag.flat[0]).astype(np.float32))
    return Estimate(wave(rng), support), measured


@pytest.mark.parametrize("background", [0.0, 0.4, "per pixel"])
@pytest.mark.parametrize("coherent", [True, False])
def test_launched_iterations_and_supports_are_those_of_the_twins(coherent, background, library, rng):
    start, measured = problem(rng, coherent, rng.random(SHAPE) if background == "per pixel" else background)
    device = OnCpu(source(), library)
    launched, plain = Batched(start, measured, device=device), Batched(start, measured)
    for runner in (launched, plain):
        runner.run("hio", 2, 0.8)
        runner.redraw("shrink_wrap", 1.1, 0.6)
        runner.run("error_reduction", 1)
        runner.redraw("shrink_wrap_rms", 0.8, 0.9, 20)
        runner.run("raar", 2)
    here, there = launched.estimate(), plain.estimate()
    share = there.support.mean(axis=(1, 2, 3))
    assert (share > 0.1).all()
    assert (share < 0.9).all()
    assert not np.array_equal(there.support[0], there.support[1])
    assert (here.support == there.support).mean() > 1 - 2e-3  # a voxel on the threshold may fall either way
    np.testing.assert_allclose(here.rho, there.rho, atol=2e-5 * np.abs(there.rho).max())
    np.testing.assert_allclose(here.residual, there.residual, rtol=1e-5)


def test_every_kernel_is_launched_by_the_runner(library, rng):
    device = OnCpu(source(), library)
    for coherent in (True, False):
        runner = Batched(*problem(rng, coherent, 0.0), device=device)
        runner.run("hio", 1)
        for move in ("shrink_wrap", "shrink_wrap_rms"):
            runner.redraw(move, 1.0, 0.1)
    assert set(device.launched) == set(signatures(source()))


def test_a_support_of_no_voxels_stays_empty(library, rng):
    start, measured = problem(rng, True, 0.0)
    start.support[1] = False
    runner = Batched(start, measured, device=OnCpu(source(), library))
    runner.redraw("shrink_wrap_rms", 1.0, 0.2)
    assert runner.estimate().support.any(axis=(1, 2, 3)).tolist() == [True, False, True]


def test_launching_leaves_what_it_was_given_alone(library, rng):
    start, measured = problem(rng, True, 0.0)
    before, drawn = start.rho.copy(), start.support.copy()
    runner = Batched(start, measured, device=OnCpu(source(), library))
    runner.run("hio", 1)
    runner.redraw("shrink_wrap", 1.0, 0.3)
    held = runner.estimate()
    kept = held.rho.copy()
    runner.run("hio", 1)
    np.testing.assert_array_equal(start.rho, before)
    np.testing.assert_array_equal(start.support, drawn)
    np.testing.assert_array_equal(held.rho, kept)


def test_the_window_of_the_launched_blur_is_that_of_the_moves(library, rng):
    start, measured = problem(rng, True, 0.0)
    runner = Batched(start, measured, device=OnCpu(source(), library))
    runner.redraw("shrink_wrap", 1.3, 0.5)
    blurred = moves.blur(np.abs(start.rho), 1.3)
    wanted = blurred > 0.5 * blurred.max(axis=(1, 2, 3), keepdims=True)
    assert (runner.estimate().support == wanted).mean() > 1 - 1e-3


@pytest.mark.parametrize("text", [source(), source().replace("i < (n);", "i <= (n);")], ids=["as they are", "one voxel too far"])
def test_no_kernel_reads_or_writes_beside_its_arrays(text, tmp_path):
    """Under AddressSanitizer, in a process of its own; the wrong text shows that it looks."""
    if shutil.which("g++") is None:
        pytest.skip("no g++ here: the CUDA kernels are not run on the CPU")
    sanitizer = subprocess.run(["g++", "-print-file-name=libasan.so"], capture_output=True, text=True, check=True).stdout.strip()
    if not Path(sanitizer).is_absolute():
        pytest.skip("g++ has no AddressSanitizer here")
    here, library = Path(__file__).parent, build(text, tmp_path, "-fsanitize=address")
    options = {"LD_PRELOAD": sanitizer, "ASAN_OPTIONS": "detect_leaks=0:detect_stack_use_after_return=0"}
    done = subprocess.run(
        [sys.executable, str(here / "sanitized.py"), str(library)],
        env=os.environ | options | {"PYTHONPATH": os.pathsep.join(map(str, (here.parent, here.parents[1])))},
        capture_output=True,
        text=True,
        timeout=120,
    )
    found = "AddressSanitizer" in done.stderr
    assert (done.returncode != 0, found) == ((False, False) if text == source() else (True, True)), done.stderr[-3000:]
