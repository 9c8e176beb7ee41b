"""A plan of memory says how many starts fit, and what a runner really takes."""

import subprocess
import sys
from pathlib import Path

import pytest

from xcdi.errors import XcdiError
from xcdi.kernels.phasing import memory
from xcdi.kernels.phasing.memory import FOOTPRINTS, available_memory, plan

SHAPE = (60, 72, 84)
GB = 10**9


@pytest.mark.parametrize("runner", FOOTPRINTS)
@pytest.mark.parametrize("available", [GB // 10, GB, 10 * GB])
def test_a_plan_stays_within_what_there_is_and_takes_one_more_if_it_can(runner, available):
    made = plan(SHAPE, 5, available=available, runner=runner, workers=4)
    assert made.needed <= available
    assert made.rounds * made.at_once >= 5 > (made.rounds - 1) * made.at_once
    most = 5 if runner in ("batched", "gpu") else 4
    assert made.at_once == most or made.needed + made.bytes_per_start > available


def test_what_does_not_fit_is_refused_with_both_figures_and_a_way_out():
    with pytest.raises(XcdiError, match=r"512 x 512 x 512.*needs \d+\.\d+ GB.*1\.00 GB are free on this machine; crop") as refused:
        plan((512, 512, 512), 3, available=GB)
    assert "\n" not in str(refused.value)
    with pytest.raises(XcdiError, match="on the GPU"):
        plan((512, 512, 512), 3, available=GB, runner="gpu")


@pytest.mark.parametrize(("runner", "most"), [("fused", 0.88 * GB), ("in_place", 1.01 * GB)])
def test_one_start_of_256_cubed_stays_near_one_gigabyte(runner, most):
    assert plan((256, 256, 256), 1, available=64 * GB, runner=runner).needed <= most


def test_partial_coherence_and_lengths_with_large_primes_take_more():
    base = plan(SHAPE, 1, available=10 * GB, runner="gpu").bytes_per_start
    assert plan(SHAPE, 1, available=10 * GB, runner="gpu", partial_coherence=True).bytes_per_start > base
    assert plan((59, 72, 84), 1, available=10 * GB, runner="gpu").bytes_per_start > base


def test_a_batch_on_the_gpu_stays_within_the_counts_of_its_plans():
    assert plan((256, 256, 256), 1000, available=10_000 * GB, runner="gpu").at_once == 127


def test_more_workers_than_starts_change_nothing():
    assert plan(SHAPE, 2, available=10 * GB, workers=16).at_once == 2


def test_there_is_memory_on_this_machine():
    assert 10**7 < available_memory() < 10**14
    with pytest.raises(XcdiError, match="'cpu' or 'gpu'"):
        available_memory("tpu")


def test_the_limit_of_the_group_counts(tmp_path):
    (tmp_path / "memory.max").write_text("5000\n")
    (tmp_path / "memory.current").write_text("2000\n")
    assert memory._left_of_limit(tmp_path) == 3000
    (tmp_path / "memory.max").write_text("max\n")
    assert memory._left_of_limit(tmp_path) > 10**15


def test_without_a_table_the_system_is_asked(tmp_path):
    assert memory._system(tmp_path / "none") > 10**7


RUN = """
import resource, sys
import numpy as np
from xcdi.kernels.phasing.estimate import Estimate, Measured
from xcdi.kernels.phasing.{module} import {name} as Runner
from xcdi.kernels.phasing.schedule import Advance, Average, play

def go(shape, lead):
    rho = np.ones((*lead, *shape), np.complex64)
    before = int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize() - rho.nbytes
    measured = Measured(np.ones(shape, np.float32), np.ones(shape, bool))
    runner = Runner(Estimate(rho, np.ones(rho.shape, bool)), measured)
    runner.run("hio", 2)
    for move in ("shrink_wrap", "shrink_wrap_rms"):
        runner.redraw(move, 1.0, 0.05)
    held = play(runner, measured, [Average((Advance("error_reduction", 1),), 2)])
    return before, held

go((16, 16, 16), {lead})  # compiled
before, held = go({shape}, {lead})
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(int(status["VmHWM"].split()[0]) * 1024 - before)  # ru_maxrss would count the process that started this one
"""


@pytest.mark.skipif(not Path("/proc/self/statm").is_file(), reason="the system does not say what a process holds")
@pytest.mark.parametrize(
    ("runner", "module", "name", "lead", "shape"),
    [("in_place", "inplace", "InPlace", (), (128, 120, 112)), ("batched", "batched", "Batched", (4,), (108, 108, 108))],
)
def test_a_runner_takes_what_is_planned(runner, module, name, lead, shape):
    text = RUN.format(module=module, name=name, lead=lead, shape=shape)
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True, timeout=120)
    assert int(done.stdout) == pytest.approx(plan(shape, lead[0] if lead else 1, available=64 * GB, runner=runner).needed, rel=0.15)
