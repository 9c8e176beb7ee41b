"""Launches every kernel on arrays that fit exactly; run under AddressSanitizer with the library as the only argument."""

import sys

import numpy as np
from cuda_on_cpu.harness import OnCpu, signatures

from xcdi.kernels.phasing.batched import Batched
from xcdi.kernels.phasing.cuda import source
from xcdi.kernels.phasing.estimate import Estimate, Measured

SHAPE = (3, 5, 7)


def main(library):
    rng = np.random.default_rng(1)
    rho = (rng.normal(size=(2, *SHAPE)) + 1j * rng.normal(size=(2, *SHAPE))).astype(np.complex64)
    window = np.ones((3, 5, 4), np.float32)
    for order, threads in enumerate((256, 19, 8)):
        device = OnCpu(source(), library, threads=threads, order=order)
        for coherence in (None, window):
            measured = Measured(rng.random(SHAPE, dtype=np.float32), rng.random(SHAPE) < 0.9, rng.random(SHAPE), coherence)
            runner = Batched(Estimate(rho, rng.random(SHAPE) < 0.3), measured, device=device)
            runner.run("hio", 2)
            runner.redraw("shrink_wrap", 1.0, 0.1)
            runner.redraw("shrink_wrap_rms", 1.0, 0.1)
        assert set(device.launched) == set(signatures(source()))


if __name__ == "__main__":
    main(sys.argv[1])
