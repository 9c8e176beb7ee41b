"""Runs PyNX (CPU operators) for compare.py, with the defaults of its runner for ID01.

First support from the autocorrelation at 0.09 to 0.11, 600 RAAR and 200 ER, the support redrawn every 50 iterations at
0.25 of its rms after a blur that shrinks from 2 to 0.5 voxels, half a support for ten iterations after 150, masked pixels
held at zero for the first 360 iterations and free from then on. ``--engine hio`` plays 300 HIO + 100 ER instead, redrawn every 20.
"""

from __future__ import annotations

import argparse
import importlib.metadata
from typing import Any

import numpy as np
import serving


class Pynx:
    version = importlib.metadata.version("PyNX")

    def __init__(self, options: argparse.Namespace) -> None:
        from pynx import cdi
        from pynx.cdi import cpu_operator

        self._cdi, self._op, self._engine = cdi, cpu_operator, options.engine

    def load(self, problem: dict[str, np.ndarray], iterations: int) -> None:
        self._counts = np.fft.ifftshift(problem["counts"]).astype(np.float32)
        self._mask = np.fft.ifftshift(~problem["valid"]).astype(np.int8)
        self._support = np.fft.ifftshift(problem["support"])
        self._timed = self._begun(problem["start"])
        self._block = self._op.HIO(beta=0.9) ** iterations

    def hio(self) -> None:
        self._timed = self._block * self._timed

    def plain(self, start: np.ndarray) -> dict[str, Any]:
        object_ = self._op.ER() ** 100 * self._op.HIO(beta=0.9) ** 200 * self._begun(start)
        return {"rho": object_.get_obj(shift=True), "iterations": 300}

    def _begun(self, start: np.ndarray) -> Any:
        start = np.fft.ifftshift(start * np.float32(np.sqrt(start.size)))  # its transform is unitary
        return self._cdi.CDI(self._counts.copy(), support=self._support, obj=start, mask=self._mask)

    def recipe(self, seed: int) -> dict[str, Any]:
        np.random.seed(seed)  # noqa: NPY002  (it draws from there)
        op = self._op
        object_ = self._cdi.CDI(self._counts.copy(), mask=self._mask)
        object_ = op.InitObjRandom(src="support", amin=0, amax=1, phirange=2 * np.pi) * op.AutoCorrelationSupport((0.09, 0.11)) * object_
        try:
            object_, done = self._hio_er(object_) if self._engine == "hio" else self._id01(object_)
        except Exception as error:  # support too small or too large: the run is lost, as for its users
            return {"rho": np.zeros_like(object_.get_obj()), "iterations": 0, "failed": str(error)}
        rho, support = object_.get_obj(shift=True), object_.get_support(shift=True)
        return {"rho": (rho * support).astype(np.complex64), "iterations": done, "support_voxels": int(support.sum())}

    def _id01(self, object_: Any) -> tuple[Any, int]:
        """600 RAAR + 200 ER."""
        op, masked = self._op, bool(self._mask.any())
        for end in sorted({*range(50, 801, 50), 360}):
            step = 10 if end == 360 else 40 if end == 400 else 50
            move = op.RAAR(beta=0.9, zero_mask=masked and end < 360) if end <= 600 else op.ER()
            object_ = move**step * object_
            if end % 50 == 0 and end < 800:
                object_ = self._redraw((2, 0.5, 600)) * object_
            if end == 150:
                object_ = op.DetwinRAAR(beta=0.9, nb_cycle=10, zero_mask=masked) * object_
        return op.FourierApplyAmplitude() * object_, 810

    def _hio_er(self, object_: Any) -> tuple[Any, int]:
        """300 HIO + 100 ER."""
        for end in range(20, 401, 20):
            object_ = (self._op.HIO(beta=0.9) if end <= 300 else self._op.ER()) ** 20 * object_
            object_ = self._redraw((2, 0.5, 300)) * object_ if end < 400 else object_
        return object_, 400

    def _redraw(self, width: Any) -> Any:
        return self._op.SupportUpdate(threshold_relative=0.25, smooth_width=width, method="rms", min_fraction=1e-4, max_fraction=0.7)


if __name__ == "__main__":
    serving.serve(Pynx)
