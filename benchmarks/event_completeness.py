"""Whether injected events are found as often as true ones: the completeness curve against the recall of simulated events.

python benchmarks/event_completeness.py [--seeds 1 2 3] [--means 1 0.3 0.1] [--work FOLDER] [--figure FILE.png]

Simulates series of 1000 frames with an event every 30 frames, draws their photons for each mean count per pixel, finds the events,
and asks `completeness.curve` how small an event may be. Prints the drops of which 50 % and 90 % are found: those that the injected
events say, averaged over the series, and those of the true events of all series together (noise-free drop, N5).
"""

import argparse
import tempfile
import time
from pathlib import Path

import h5py
import numpy as np
import xarray as xr
from matplotlib import pyplot as plt

from xcdi import artificial
from xcdi.artificial.drops import drops
from xcdi.artificial.matching import NEAR, WINDOW
from xcdi.kernels.avalanches import injection
from xcdi.stages import avalanches, completeness, detection
from xcdi.stages.series import movie

GRID = np.geomspace(1e-3, 1, 400)
VARIANT, SIZES = "bare,even,strong-ageing", (0.004, 0.25)


def clean(seed, work):
    """Noise-free frames of one series, over their mean, and the first frames of its events."""
    kept = work / f"clean{seed}.npz"
    if not kept.exists():
        raw = Path(tempfile.mkdtemp(dir=work))
        artificial.simulate("particle", raw, "nano", seed, VARIANT, frames=1000, event_sizes=SIZES)
        with h5py.File(raw / "truth.h5") as file:
            np.savez(kept, clean=file["clean"][()].astype(np.float32), frame=file["events/frame"][()])
    with np.load(kept) as file:
        frames = file["clean"].astype(np.float64)
        return frames / frames.mean(), file["frame"].astype(int)


def counted(frames, seed):
    """CORRELATION, as far as events need it, of photons drawn for these intensities."""
    counts = np.random.default_rng(seed).poisson(frames).astype(np.uint16)
    y, x = np.indices(frames.shape[1:]).reshape(2, -1)
    columns = {"counts": (("time", "pixel"), counts.reshape(len(frames), -1)), "pixel_y": ("pixel", y), "pixel_x": ("pixel", x)}
    return xr.Dataset(columns, coords={"time": ("time", 0.5 * np.arange(len(frames)), {"units": "s"})})


def one(seed, mean, work):
    """Drops and luck of the true events of one series, its injected curve, and the CPU time [s] of that."""
    frames, true = clean(seed, work)
    data = counted(frames * mean, seed)
    events = avalanches.find_events(data)
    found = detection.search(movie(data), WINDOW, 0.2, 0)
    begin = time.process_time()
    arrays, attrs = completeness.curve(found, events)
    spent = time.process_time() - begin
    size = drops(frames * mean, list(true))["N5"]
    asked = (true >= WINDOW) & (true <= len(frames) - WINDOW) & (size > 1e-4)
    hit = np.array([np.any(np.abs(found.changes.frame - t) <= NEAR) for t in true])
    return size[asked], hit[asked], arrays, attrs, spent


def logistic(attrs):
    """Share found on the grid of drops."""
    half, most = attrs["smallest_visible"], attrs["completeness"]
    return 1 / (1 + np.exp(-np.log(9) * np.log(GRID / half) / np.log(most / half))) if np.isfinite(half) else np.zeros(GRID.size)


def judged(mean, series, ax):
    """Print both pairs of drops, and draw both curves."""
    size, hit = (np.concatenate([s[k] for s in series]) for k in (0, 1))
    true = injection.fit_curve(size, hit)
    share = np.mean([logistic(s[3]) for s in series], axis=0)
    half, most = (float(GRID[np.argmax(share >= level)]) for level in (0.5, 0.9))
    spent = [s[4] for s in series]
    print(
        f"{mean:g} photons per pixel, {len(series)} series, {size.size} true events: "
        f"50 % at {half:.4f} injected, {true.half:.4f} (+-{true.half_error:.0%}) true, ratio {half / true.half:.2f}; "
        f"90 % at {most:.4f} injected, {true.most:.4f} (+-{true.most_error:.0%}) true, ratio {most / true.most:.2f}; "
        f"expected {np.median([s[3]['smallest_expected'] for s in series]):.4f}; "
        f"CPU {np.median(spent):.2f} s, at most {max(spent):.2f} s",
        flush=True,
    )
    for part in np.array_split(np.argsort(size), 8):
        ax.plot(np.exp(np.log(size[part]).mean()), hit[part].mean(), "ko", ms=5)
    for s in series:
        ax.plot(GRID, logistic(s[3]), color="tab:orange", lw=0.6, alpha=0.6)
    ax.plot(GRID, share, color="tab:orange", lw=2, label="injected")
    rise = np.log(GRID / true.half) * np.log(9) / np.log(true.most / true.half)
    ax.plot(GRID, 1 / (1 + np.exp(-rise)), "k--", label="true events")
    ax.set(xscale="log", xlabel="drop D", title=f"{mean:g} photons per pixel", xlim=(2e-3, 0.6), ylim=(-0.03, 1.03))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--means", type=float, nargs="+", default=[1.0, 0.3, 0.1])
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--figure", type=Path, default=None)
    chosen = parser.parse_args()
    chosen.work.mkdir(parents=True, exist_ok=True)
    figure, axes = plt.subplots(1, len(chosen.means), figsize=(4 * len(chosen.means), 3.4), sharey=True, squeeze=False)
    for mean, ax in zip(chosen.means, axes[0], strict=True):
        judged(mean, [one(seed, mean, chosen.work) for seed in chosen.seeds], ax)
    axes[0, 0].set_ylabel("share found")
    axes[0, -1].legend(frameon=False)
    if chosen.figure is not None:
        figure.savefig(chosen.figure, dpi=130, bbox_inches="tight")


if __name__ == "__main__":
    main()
