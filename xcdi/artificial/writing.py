"""Writing: values with their units, and what the truth of every imaged experiment holds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from xcdi.artificial.align import to_image
from xcdi.artificial.instrument import Sampling

__all__ = ["put", "write_field", "write_sampling"]


def put(group: h5py.Group, name: str, values: Any, units: str | None = None, **options: Any) -> None:
    """Write a dataset and its unit; `options` are those of h5py's ``create_dataset``."""
    group.create_dataset(name, data=values, **options)
    if units is not None:
        group[name].attrs["units"] = units


def write_sampling(group: h5py.Group, s: Sampling) -> None:
    """Write G, the steps in q and the steps of the transformed data."""
    for name, values, units in (
        ("G", s.peak, "1/nm"),
        ("q1", s.steps[:, 2], "1/nm"),
        ("q2", s.steps[:, 1], "1/nm"),
        ("q3", s.steps[:, 0], "1/nm"),
        ("q_basis", s.steps, "1/nm"),
        ("voxel_basis", s.voxels, "nm"),
        ("directions", s.directions, "1"),
    ):
        put(group, name, values, units)


def write_field(group: h5py.Group, field: NDArray[np.complexfloating[Any, Any]], box: Sequence[int], **options: Any) -> None:
    """Write the far field in a box of the detector, and its transform: the object as well as this box can show it."""
    for name, values in (("amplitude_data_frame", field), ("object_data_frame", to_image(field))):
        put(group, name, values.astype(np.complex64), "1", **options)
        group[name].attrs["box"] = list(box)
