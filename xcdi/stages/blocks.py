"""Blocks of frames: map a kernel over them, walk through them, load them. The one stage that knows Dask."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import islice
from typing import Any

import dask
import numpy as np
import xarray as xr
from dask.base import get_scheduler

from xcdi.backend import Array, on_device

__all__ = ["batches", "chain", "compute", "frame_blocks", "framewise", "inline"]

Step = tuple[Callable[..., Array], dict[str, Any]]


def framewise(
    kernel: Callable[..., Array],
    frames: xr.DataArray,
    *others: xr.DataArray,
    device: str = "cpu",
    dtype: str | None = None,
    **options: Any,
) -> xr.DataArray:
    """Apply `kernel` to blocks of `frames`; labels, attributes and chunks stay.

    Parameters
    ----------
    kernel : function
        Takes arrays of shape (..., y, x) and keeps that shape.
    frames : DataArray, dims (frame, y, x)
        Lazy or in memory; the result is the same kind.
    *others : DataArray
        Further arguments of `kernel`, with the dims ``frame``, ``y`` and ``x`` or fewer.
    device : str
        Where `kernel` runs; the result is on the host.
    dtype : str, optional
        Of the result; by default that of `frames`.
    **options
        Keyword arguments of `kernel`.

    Examples
    --------
    >>> frames = xr.DataArray(np.ones((2, 1, 1)), dims=("frame", "y", "x"))
    >>> framewise(np.add, frames, xr.DataArray([[2.0]], dims=("y", "x"))).to_numpy().ravel()
    array([3., 3.])
    """
    kind = frames.dtype if dtype is None else np.dtype(dtype)
    run = on_device(kernel, device)

    def mapped(*arrays: Array, **options: Any) -> Array:
        return run(*arrays, **options).astype(kind, copy=False)

    return xr.apply_ufunc(
        mapped,
        frames,
        *others,
        input_core_dims=[["y", "x"], *([d for d in other.dims if d != "frame"] for other in others)],
        output_core_dims=[["y", "x"]],
        kwargs=options,
        dask="parallelized",
        output_dtypes=[kind],
        keep_attrs=True,
    )


def chain(frames: xr.DataArray, *steps: Step, device: str = "cpu", dtype: str | None = None) -> xr.DataArray:
    """Apply several kernels to each block of `frames`, which crosses to the device and back once.

    Parameters
    ----------
    frames : DataArray, dims (frame, y, x)
    *steps : (kernel, options)
        Each kernel takes what the one before returned, and its own options.

    Examples
    --------
    >>> frames = xr.DataArray(np.full((1, 1, 1), 9.0), dims=("frame", "y", "x"))
    >>> chain(frames, (np.sqrt, {}), (np.clip, {"a_min": 0, "a_max": 2})).item()
    2.0
    """

    def all_steps(block: Array) -> Array:
        for kernel, options in steps:
            block = kernel(block, **options)
        return block

    return framewise(all_steps, frames, device=device, dtype=dtype)


def compute(data: xr.Dataset, *, workers: int = 1) -> xr.Dataset:
    """Return `data` in memory, its chunks computed by `workers` threads, or by the scheduler that is already set."""
    if get_scheduler() is not None:
        return data.compute()
    return data.compute(scheduler="threads", num_workers=workers)


def frame_blocks(scan: xr.Dataset, *, workers: int = 1) -> Iterator[xr.Dataset]:
    """Yield `scan` in memory, block by block: as many chunks at a time as there are `workers`.

    No frame is read twice, and no more than ``workers`` chunks are in memory
    at once. Cut the scan first (``scan.isel(y=..., x=...)``): a chunk that was
    decoded is then cut before it is kept. A scan without chunks is one block.

    Examples
    --------
    >>> scan = xr.Dataset({"counts": (("frame", "y", "x"), np.ones((5, 1, 1)))}).chunk(frame=2)
    >>> [block.sizes["frame"] for block in frame_blocks(scan)]
    [2, 2, 1]
    """
    sizes = scan.chunksizes.get("frame", (scan.sizes["frame"],))
    start = 0
    for first in range(0, len(sizes), workers):
        stop = start + sum(sizes[first : first + workers])
        yield compute(scan.isel(frame=slice(start, stop)), workers=workers)
        start = stop


def inline() -> Any:
    """Context in which lazy arrays are computed by the calling thread: for work that is itself one of many tasks."""
    return dask.config.set(scheduler="synchronous")


def batches(work: Callable[..., Any], tasks: Iterable[tuple[Any, ...]], *, at_once: int = 1, workers: int = 1) -> Iterator[list[Any]]:
    """Yield the results of `work` for `at_once` tasks at a time, in order, computed by `workers` threads or the scheduler already set.

    No more tasks than that are made, and no more results are held. Each task brings the arrays that it needs, so a
    scheduler that runs elsewhere sends nothing else. A task should take 0.1 to 2 s.

    Examples
    --------
    >>> list(batches(pow, [(2, 3), (3, 2), (5, 1)], at_once=2))
    [[8, 9], [5]]
    """
    how = {} if get_scheduler() is not None else {"scheduler": "threads", "num_workers": workers}
    rest = iter(tasks)
    while some := list(islice(rest, at_once)):
        yield list(
            dask.compute(*(dask.delayed(partial(work, *task), pure=False, traverse=False)() for task in some), traverse=False, **how)
        )
