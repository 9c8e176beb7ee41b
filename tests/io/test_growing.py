"""Scans that grow: no frame twice, none lost, the same bits as afterwards."""

import subprocess
import sys
import threading
import time

import h5py
import numpy as np
import pytest
import xarray as xr
from scanfiles import SHAPE, make_eiger, stack_beamline

import xcdi.io
from xcdi.errors import XcdiError
from xcdi.io.growing import blocks

QUICK = {"poll_s": 0.01, "patience_s": 0.4}
WITH_TIME = {"layout": {"counts": "/{scan}/frames", "time": {"path": "/{scan}/time", "units": "s"}}}


def together(parts):
    return xr.concat(list(parts), "frame", data_vars="minimal", coords="minimal", compat="override", combine_attrs="override")


def same(live, scan):
    for name in scan.variables:
        np.testing.assert_array_equal(live[name].to_numpy(), scan[name].to_numpy(), err_msg=name)
        assert live[name].dtype == scan[name].dtype


@pytest.mark.parametrize("block", [1, 3, 4, 11, 50])
def test_followed_blocks_are_the_scan(eiger, block):
    parts = list(xcdi.io.follow(eiger.folder, "S1", "demo", block=block, **QUICK))
    sizes = [part.sizes["frame"] for part in parts]
    assert sizes == [block] * (11 // block) + [11 % block] * (11 % block > 0)
    same(together(parts), eiger.open())


def test_a_whole_eiger_scan_ends_without_waiting(eiger):
    start = time.monotonic()
    list(xcdi.io.follow(eiger.folder, "S1", "demo", block=4, poll_s=0.01, patience_s=60))
    assert time.monotonic() - start < 10


def arriving(tmp_path, order, pause_s=0.08):
    """Move the files of a finished scan into place one by one."""
    (tmp_path / "aside").mkdir()
    (tmp_path / "live").mkdir()
    scan = make_eiger(tmp_path / "aside")
    paths = {"master": scan.master} | {k: scan.data(k) for k in (1, 2, 3)}

    def move():
        for key in order:
            time.sleep(pause_s)
            paths[key].rename(tmp_path / "live" / paths[key].name)

    thread = threading.Thread(target=move)
    thread.start()
    return scan, thread


@pytest.mark.parametrize("order", [["master", 1, 2, 3], [1, 2, "master", 3], ["master", 2, 1, 3], ["master", 3, 2, 1]])
def test_files_may_land_in_any_order(tmp_path, order):
    scan, thread = arriving(tmp_path, order)
    parts = list(xcdi.io.follow(tmp_path / "live", "S1", "demo", block=4, poll_s=0.02, patience_s=5))
    thread.join()
    np.testing.assert_array_equal(together(parts).counts.to_numpy(), scan.counts)
    assert all(part.frame_ok.all() for part in parts)


def test_a_data_file_that_never_comes_is_a_gap(tmp_path):
    scan, thread = arriving(tmp_path, ["master", 1, 3], pause_s=0.0)
    live = together(xcdi.io.follow(tmp_path / "live", "S1", "demo", block=2, **QUICK))
    thread.join()
    assert live.frame_ok.to_numpy().tolist() == [True] * 4 + [False] * 4 + [True] * 3
    np.testing.assert_array_equal(live.counts[8:].to_numpy(), scan.counts[8:])
    np.testing.assert_array_equal(live.omega, scan.omega)


def test_nothing_at_all_is_an_error_with_the_reason(tmp_path):
    with pytest.raises(XcdiError, match=r"nothing came for 0.1 s: .*no scan 'S1'"):
        list(xcdi.io.follow(tmp_path, "S1", "demo", block=4, poll_s=0.01, patience_s=0.1))


SWMR = """
import h5py, sys, time
import numpy as np
with h5py.File(sys.argv[1], "w", libver="latest") as file:
    data = file.create_dataset("S1/frames", (0, 13, 17), "u2", maxshape=(None, 13, 17), chunks=(1, 13, 17))
    stamp = file.create_dataset("S1/time", (0,), "f8", maxshape=(None,), chunks=(8,))
    file.swmr_mode = True
    for i in range(23):
        data.resize(i + 1, 0)
        data[i] = np.full((13, 17), i, "u2")
        data.flush()
        time.sleep(0.01)
        stamp.resize(i + 1, 0)
        stamp[i] = 0.5 * i
        stamp.flush()
"""


def test_a_frame_of_a_live_swmr_file_waits_for_its_time(tmp_path):
    path, home = tmp_path / "s.h5", stack_beamline(**WITH_TIME)
    with subprocess.Popen([sys.executable, "-c", SWMR, str(path)]) as writer:
        parts = list(xcdi.io.follow(path, "S1", home, block=5, poll_s=0.005, patience_s=3))
        assert writer.wait() == 0
    live = together(parts)
    assert live.counts[:, 3, 4].to_numpy().tolist() == list(range(23))
    np.testing.assert_allclose(live.time, 0.5 * np.arange(23))
    same(live, xcdi.io.open_scan(path, "S1", home))


def test_a_file_that_is_opened_and_closed_for_every_frame_grows_too(tmp_path):
    path = tmp_path / "s.h5"

    def write():
        for i in range(9):
            with h5py.File(path, "a") as file:
                if not i:
                    file.create_dataset("S1/frames", (0, *SHAPE), "u2", maxshape=(None, *SHAPE), chunks=(1, *SHAPE))
                file["S1/frames"].resize(i + 1, 0)
                file["S1/frames"][i] = i
            time.sleep(0.02)

    code = threading.Thread(target=write)
    code.start()
    code.join(0.05)
    code.join()  # HDF5 lets one process open a file either to read or to write
    parts = xcdi.io.follow(path, "S1", stack_beamline(), block=4, **QUICK)
    assert [int(n) for part in parts for n in part.counts[:, 0, 0]] == list(range(9))


def toy(ok, planned=None):
    attrs = {} if planned is None else {"frames_expected": planned}
    return xr.Dataset({"frame_ok": ("frame", np.array(ok, bool)), "n": ("frame", np.arange(len(ok)))}, attrs=attrs)


def test_times_between_frames_do_not_end_a_scan_before_the_patience_does():
    looks = iter([toy([1]), toy([1]), toy([1, 1, 1]), toy([1, 1, 1]), toy([1] * 6, 6)])
    parts = blocks(lambda: next(looks), block=2, poll_s=0.05, patience_s=0.2)
    assert [int(n) for part in parts for n in part.n] == [0, 1, 2, 3, 4, 5]


def test_new_scans_are_named_once_each_when_they_are_whole(tmp_path):
    for name in ("a", "b"):
        make_eiger(tmp_path, name, n=3)
    make_eiger(tmp_path, "stopped", n=3, nimages=9)
    (tmp_path / "later").mkdir()
    late = make_eiger(tmp_path / "later", "c", n=3)

    def land():
        time.sleep(0.15)
        for path in (late.data(1), late.master):
            path.rename(tmp_path / path.name)

    thread = threading.Thread(target=land)
    thread.start()
    names = list(xcdi.io.new_scans(tmp_path, "demo", poll_s=0.02, patience_s=0.5))
    thread.join()
    assert names == ["a", "b", "c", "stopped"]
