"""How near estimates of the contrast come to the truth, over photons per pixel and frame.

python benchmarks/correlation_speckles.py [SEEDS] [MEAN ...]
"""

import sys
import time

import numpy as np

from xcdi.artificial import speckle
from xcdi.kernels import regions
from xcdi.kernels.correlation import photons, speckles, visibility

MEANS = (0.02, 0.05, 0.1, 0.3, 1.0)


def estimates(events, tile, s):
    """Every estimate of the contrast of one series; the last knows the law of relaxation beforehand."""
    rate = s.frame_time_s / s.relaxation_s
    yield "moments", speckles.contrast_by_moments(events, tile)
    yield "likelihood", speckles.contrast_by_likelihood(events, tile)
    yield "from lags", visibility.contrast_from_lags(events, tile)
    yield "law known", visibility.contrast_from_lags(events, tile, rate=rate, exponent=s.exponent)


def measure(mean, seeds):
    """Relative errors of every estimate and those quoted, and the seconds of processor time of one."""
    base = speckle.speckle("std").model_copy(update={"mean_count": mean})
    y, x = np.divmod(np.arange(int(np.prod(base.pixels))), base.pixels[1])
    tile, found = regions.tiles(y, x), {}
    for seed in range(seeds):
        events = photons.from_dense(speckle.draw(base, seed).counts.reshape(base.frames, -1))
        start = time.process_time()
        for name, estimate in estimates(events, tile, base):
            found.setdefault(name, []).append((estimate.value * base.modes - 1, estimate.error * base.modes, time.process_time() - start))
            start = time.process_time()
    return {name: np.array(rows) for name, rows in found.items()}


def main(seeds=10, means=MEANS):
    base = speckle.speckle("std")
    size = base.frames * int(np.prod(base.pixels))
    print(f"relative error of the contrast of {1 / base.modes:g}, {size:.0e} pixel-frames, {seeds} seeds")
    print(f"{'photons':>8} {'estimate':>11} {'mean':>8} {'sd':>7} {'quoted':>7} {'within 5 %':>11} {'s':>7}")
    for mean in means:
        for name, rows in measure(mean, seeds).items():
            off, quoted, seconds = rows.T
            inside = int(np.sum(np.abs(off) < 0.05))
            told = f"{off.mean():>+8.3f} {off.std(ddof=1):>7.3f} {np.median(quoted):>7.3f}"
            print(f"{mean:>8g} {name:>11} {told} {f'{inside}/{seeds}':>11} {np.median(seconds):>7.3f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10, [float(word) for word in sys.argv[2:]] or MEANS)
