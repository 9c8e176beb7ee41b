"""Tiles on disk: whole or absent, there again after a kill, and read as the matrix they are of."""

import os
import signal
import subprocess
import sys
import time

import h5py
import numpy as np
import pytest
import xarray as xr

from xcdi.errors import XcdiError
from xcdi.io.tiles import Key, Plan, TileFile, Tiles, decoded, encoded

FRAMES, TILE = 29, 8
PLAN = Plan(regions=2, frames=FRAMES, tile=TILE, dtype="<u2", bits=9, origin="these")


def matrix(region=0):
    a = np.random.default_rng(region).integers(0, 500, (FRAMES, FRAMES))
    return np.triu(a) + np.triu(a, 1).T


def tile_of(key):
    return matrix(key.region)[key.row * TILE : (key.row + 1) * TILE, key.column * TILE : (key.column + 1) * TILE]


def frames(**attrs):
    rows = np.arange(2.0 * FRAMES).reshape(2, FRAMES) + 10
    rows[1, 4] = 0
    both = {name: (("region", "time"), rows, {"units": "1"}) for name in ("level", "diagonal")}
    one = {f"{name}{end}": ("region", [3.0, 4.0], {"units": "1"}) for name, end in (("norm", ""), ("gain", ""), ("gain", "_N1"))}
    peak = (("region", "time"), rows.astype(int), {"units": "1"})
    time = ("time", np.arange(FRAMES) * 0.5, {"units": "s"})
    both["diagonal_N1"] = (("region", "time"), 2 * rows, {"units": "1"})
    return xr.Dataset({**both, **one, "peak": peak}, coords={"time": time}, attrs={"normalisation": "N4", **attrs})


def written(path, keys=None, plan=PLAN):
    with Tiles(path) as store:
        store.begin(plan)
        for key in plan.keys if keys is None else keys:
            store.append(key, encoded(tile_of(key), plan))
        if keys is None:
            store.finish(frames())


def there(path, plan=PLAN):
    with Tiles(path) as store:
        store.begin(plan)
        return [key for key in plan.keys if key in store]


@pytest.mark.parametrize("dtype", ["<u2", "<u4", "<u8"])
def test_a_tile_comes_back_as_it_was(dtype):
    tile = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, (5, 8), dtype=dtype)
    plan = PLAN._replace(dtype=dtype)
    back = decoded(encoded(tile, plan), plan)
    np.testing.assert_array_equal(back[:5], tile)
    assert not back[5:].any()
    assert back.dtype == dtype


def test_a_tile_never_takes_more_than_its_bound():
    tile = np.random.default_rng(0).integers(0, 2**9, (512, 512), dtype="<u4")
    plan = Plan(1, 512, 512, "<u4", 9, "")
    assert len(encoded(tile, plan)) <= plan.disk_bytes


def test_the_tiles_are_those_on_and_above_the_diagonal():
    assert [key[1:] for key in PLAN._replace(regions=1, frames=17).keys] == [(0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)]


@pytest.mark.parametrize("window", [(0, FRAMES), (3, 20, 5, 6), (20, 29, 0, 13), (7, 9, 7, 9), (8, 16, 8, 16)])
def test_a_window_is_cut_from_the_matrix(tmp_path, window):
    written(tmp_path / "tiles.h5")
    start, stop, start2, stop2 = (*window, *window)[:4]
    with TileFile(tmp_path / "tiles.h5") as file:
        for region in (0, 1):
            found = file.products(start, stop, start2, stop2, region=region)
            np.testing.assert_array_equal(found, matrix(region)[start:stop, start2:stop2])


@pytest.mark.parametrize("relative", [None, True, False])
def test_the_correlation_is_divided_when_it_is_read(tmp_path, relative):
    written(tmp_path / "tiles.h5")
    f = frames().isel(region=1)
    with TileFile(tmp_path / "tiles.h5") as file:
        found = file.window(2, 9, 3, 20, region=1, relative=relative)
    level = f.level.where(f.level > 0).to_numpy()
    expected = 1 + 4.0 * (4.0 * matrix(1)[2:9, 3:20] / np.outer(level[2:9], level[3:20]) - 1)
    for t in range(3, 9):
        expected[t - 2, t - 3] = f["diagonal_N1" if relative is False else "diagonal"][t]
    np.testing.assert_allclose(found, expected)
    np.testing.assert_array_equal(found.time2, f.time[3:20])


def test_the_rest_of_the_matrix_takes_no_room_and_is_said_to_be_absent(tmp_path):
    written(tmp_path / "tiles.h5")
    with h5py.File(tmp_path / "tiles.h5") as file:
        assert file["products"].id.get_num_chunks() == len(PLAN.keys)
        assert file["products"].attrs["triangle"] == "upper"
        assert np.all(file["products"][0, 8:16, 16:24] == matrix()[8:16, 16:24]), "any program with bitshuffle reads it"
    assert os.listdir(tmp_path) == ["tiles.h5"]


@pytest.mark.parametrize("cut", [1, 27, 28, 40])
def test_a_torn_tile_is_dropped_and_the_others_stay(tmp_path, cut):
    path, keys = tmp_path / "tiles.h5", PLAN.keys[:5]
    written(path, keys)
    with Tiles(path) as store:
        os.truncate(store.journal, store.journal.stat().st_size - cut)
    assert there(path) == keys[:4]
    assert not path.exists()


def test_a_damaged_tile_ends_what_is_believed(tmp_path):
    path, keys = tmp_path / "tiles.h5", PLAN.keys[:5]
    written(path, keys)
    with Tiles(path) as store, open(store.journal, "r+b") as file:
        file.seek(-3, os.SEEK_END)
        byte = file.read(1)
        file.seek(-3, os.SEEK_END)
        file.write(bytes([byte[0] ^ 1]))
    assert there(path) == keys[:4]


@pytest.mark.parametrize("change", [{"tile": 7}, {"dtype": "<u4"}])
def test_tiles_of_another_size_are_not_taken_up(tmp_path, change):
    written(tmp_path / "tiles.h5", PLAN.keys[:3])
    assert there(tmp_path / "tiles.h5", PLAN._replace(**change)) == []
    assert there(tmp_path / "tiles.h5") == []
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("keys", [None, PLAN.keys[:3]])
def test_tiles_of_other_photons_are_not_replaced(tmp_path, keys):
    written(tmp_path / "tiles.h5", keys)
    names = os.listdir(tmp_path)
    with pytest.raises(XcdiError, match=r"another series .* \(29 frames, 2 regions\); remove it or choose another tiles_folder"):
        there(tmp_path / "tiles.h5", PLAN._replace(origin="others"))
    assert os.listdir(tmp_path) == names
    assert there(tmp_path / "tiles.h5") == (keys or PLAN.keys)


def test_a_file_that_holds_no_tiles_is_not_replaced(tmp_path):
    with h5py.File(tmp_path / "tiles.h5", "w") as file:
        file["products"] = 1
    with pytest.raises(XcdiError, match="holds no tiles"):
        there(tmp_path / "tiles.h5")
    assert os.listdir(tmp_path) == ["tiles.h5"]


def test_the_file_is_there_only_when_it_is_whole(tmp_path):
    path = tmp_path / "tiles.h5"
    written(path, PLAN.keys[:1])
    with Tiles(path) as store:
        store.begin(PLAN)
        with pytest.raises(KeyError):
            store.finish(frames())
    assert os.listdir(tmp_path) == [f".{path.name}.tiles"]


def test_two_processes_do_not_write_the_same_tiles(tmp_path):
    with Tiles(tmp_path / "tiles.h5"), pytest.raises(XcdiError, match="another process"), Tiles(tmp_path / "tiles.h5"):
        pass


def test_a_full_disk_is_said_before_anything_is_computed(tmp_path):
    with Tiles(tmp_path / "tiles.h5") as store, pytest.raises(XcdiError, match=r"take up to .* of disk, twice"):
        store.begin(PLAN._replace(frames=10**7, tile=10**5))
    assert os.listdir(tmp_path) == [], "nothing is left behind"


def test_what_is_no_file_of_tiles_is_refused(tmp_path):
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["products"] = 1
    with pytest.raises(XcdiError, match="holds no tiles"):
        TileFile(tmp_path / "other.h5")


@pytest.mark.parametrize("window", [(-1, 3), (3, 3), (0, FRAMES + 1), (0, 3, 28, 30)])
def test_a_window_outside_is_refused(tmp_path, window):
    written(tmp_path / "tiles.h5")
    with TileFile(tmp_path / "tiles.h5") as file, pytest.raises(XcdiError, match="leaves the 29 frames"):
        file.window(*window)


WRITER = """
import itertools, sys
import numpy as np
from xcdi.io.tiles import Plan, Tiles, encoded
plan = Plan(1, 200 * 32, 32, "<u2", 9, "killed")
with Tiles(sys.argv[1]) as store:
    store.begin(plan)
    for n, key in enumerate(plan.keys):
        store.append(key, encoded(np.full((32, 32), n % 512), plan))
"""


def test_what_was_written_before_a_kill_is_there_again(tmp_path):
    path = tmp_path / "tiles.h5"
    process = subprocess.Popen([sys.executable, "-c", WRITER, str(path)])
    journal = path.with_name(f".{path.name}.tiles")
    until = time.monotonic() + 30
    while (not journal.exists() or journal.stat().st_size < 20_000) and time.monotonic() < until:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    plan = Plan(1, 200 * 32, 32, "<u2", 9, "killed")
    with Tiles(path) as store:
        store.begin(plan)
        first = list(zip(range(10**6), (key for key in plan.keys if key in store), strict=False))
        assert len(first) > 20
        assert [key for _, key in first] == plan.keys[: len(first)]
        for n, key in first:
            assert np.all(decoded(store.stored(key), plan) == n % 512)
        store.append(Key(0, 9, 9), b"more")
    assert not path.exists()
