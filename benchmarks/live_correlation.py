"""Whether `xcdi live` keeps up with a detector: a file that grows at its frame rate, and the map at its end.

python benchmarks/live_correlation.py [--rate 200] [--seconds 60] [--size 256] [--mean 0.05] [--work FOLDER]

Writes a series of speckle once, then copies its compressed frames at the frame rate into a file that
`xcdi live xpcs_two_time` follows, and runs `xcdi run` over the finished file. Prints how far live was behind,
how long after the last frame its result was there, and whether both maps are the same, bit for bit.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from multiprocessing import Process
from pathlib import Path

import h5py
import hdf5plugin
import numpy as np

FRAMES = "/entry/data/data"
BEAMLINE = """
name = "growing"
format = "hdf5"

[layout]
counts = "/entry/data/data"
frame_time = { path = "/entry/frame_time", units = "s" }
frames_expected = { path = "/entry/expected", units = "1" }
"""


def series(path, frames, size, mean, rate, seed=0):
    """Photons of four modes of speckle, two pixels wide, that forget themselves within two seconds."""
    rng, keep = np.random.default_rng(seed), np.exp(-1 / (2 * rate))
    wave = [_speckle(rng, size) for _ in range(4)]
    with h5py.File(path, "w") as file:
        data = _dataset(file, frames, size, rate)
        for t in range(frames):
            wave = [keep * w + np.sqrt(1 - keep**2) * _speckle(rng, size) for w in wave]
            data[t] = rng.poisson(mean * sum(np.abs(w) ** 2 for w in wave) / 4)


def _speckle(rng, size):
    wave = rng.standard_normal((size, size), np.float32) + 1j * rng.standard_normal((size, size), np.float32)
    return (wave + np.roll(wave, 1, 0) + np.roll(wave, 1, 1) + np.roll(wave, (1, 1), (0, 1))) / np.sqrt(8)


def _dataset(file, frames, size, rate):
    file["/entry/frame_time"], file["/entry/expected"] = 1 / rate, frames
    shape, chunk = (frames, size, size), (1, size, size)
    return file.create_dataset(FRAMES, shape, "u2", maxshape=(None, size, size), chunks=chunk, **hdf5plugin.Bitshuffle(cname="lz4"))


def grow(source, target, rate, start):
    """Copy the frames of `source` when each is due."""
    with h5py.File(source) as old, h5py.File(target, "w", libver="latest") as file:
        frames, size = old[FRAMES].shape[0], old[FRAMES].shape[1]
        raw = [old[FRAMES].id.read_direct_chunk((t, 0, 0)) for t in range(frames)]
        data = _dataset(file, 0, size, rate)
        del file["/entry/expected"]
        file["/entry/expected"] = frames
        file.swmr_mode = True
        done = 0
        while done < frames:
            due = min(int((time.time() - start) * rate), frames)
            if due > done:
                data.resize(due, 0)
                for t in range(done, due):
                    data.id.write_direct_chunk((t, 0, 0), raw[t][1], raw[t][0])
                data.flush()
                done = due
            time.sleep(2 / rate)


def xcdi(*arguments, **options):
    return subprocess.Popen(
        [str(Path(sys.executable).with_name("xcdi")), *map(str, arguments)], text=True, stdout=subprocess.PIPE, **options
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, default=200.0)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--mean", type=float, default=0.05)
    parser.add_argument("--normalisation", default="N1")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()))
    chosen = parser.parse_args()
    work = chosen.work
    work.mkdir(parents=True, exist_ok=True)
    frames = int(chosen.rate * chosen.seconds)
    source, target = work / f"source_{frames}_{chosen.size}_{chosen.mean:g}.h5", work / "S001.h5"
    (work / "growing.toml").write_text(BEAMLINE)
    if not source.exists():
        series(source.with_suffix(".part"), frames, chosen.size, chosen.mean, chosen.rate)
        os.replace(source.with_suffix(".part"), source)
    target.unlink(missing_ok=True)
    options = ["--beamline", work / "growing.toml", "--set", f"normalisation={chosen.normalisation}"]
    options += ["--set", f"box=[0, {chosen.size}, 0, {chosen.size}]", "--workers", 2]
    start = time.time() + 5.0  # by when xcdi is up
    writer = Process(target=grow, args=(source, target, chosen.rate, start))
    writer.start()
    live = xcdi("live", "xpcs_two_time", target, "S001", *options, "--out", work / "live", "--patience", 20)
    worst = 0.0
    for line in live.stdout:
        print(f"{time.time() - start:7.1f} s  {line.rstrip()}", flush=True)
        if " behind)" in line:
            worst = max(worst, float(line.split(" s behind)")[0].split()[-1]))
    live.wait()
    late = time.time() - start - frames / chosen.rate
    writer.join()
    batch = xcdi("run", "xpcs_two_time", target, "S001", *options, "--out", work / "batch", "--redo")
    print(batch.communicate()[0])
    with h5py.File(work / "live" / "S001_xpcs_two_time.h5") as a, h5py.File(work / "batch" / "S001_xpcs_two_time.h5") as b:
        name = "/entry/twotime/two_time_corr_func"
        same = all(np.array_equal(a[name][..., t, :], b[name][..., t, :], equal_nan=True) for t in range(a[name].shape[-2]))
    print(
        f"{frames} frames of {chosen.size}^2 at {chosen.rate:g} /s: {worst:.1f} s behind at worst, result {late:.1f} s after the last frame"
    )
    print(f"map of live and batch the same bit for bit: {same}")


if __name__ == "__main__":
    main()
