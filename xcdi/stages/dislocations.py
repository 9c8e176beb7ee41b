"""Dislocation lines of a crystal: inside its grains, on its boundaries and at its surface."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from xcdi.backend import Array
from xcdi.kernels import dislocations as kernel
from xcdi.kernels.avalanches import boundaries
from xcdi.schema import CRYSTAL, DISLOCATIONS, require
from xcdi.stages.strain import basis_of, object_of

__all__ = ["lines"]

AXES = ["x", "y", "z"]
REACH = 2.0  # voxels from a boundary within which a vortex is the boundary's: the resolution of the data, and a half
ACROSS = 2.0  # voxels; smaller loops are noise
FAINT = 0.5  # of the median amplitude: where less is left around a core, the phase may be noise
SENSE = "charge > 0: on a right-handed turn about direction the displacement along G gains charge x 2 pi / |G|; a twin shows -charge"


class _Seen(NamedTuple):
    """A line with its place: the grain most of it is in, its depth [nm], and the pair whose boundary it lies on, 0 0 for none."""

    line: kernel.Line
    grain: int
    depth: float
    pair: tuple[int, int]


def lines(crystal: xr.Dataset) -> xr.Dataset:
    """Find the dislocation lines of a crystal, and tell those inside grains from the vortices of boundaries and surface.

    Parameters
    ----------
    crystal : CRYSTAL
        With `rho`, `support` and `grain`, as from :func:`xcdi.stages.grains.grains`.

    Returns
    -------
    Dataset, dims line, node
        `charge` (G.b / 2 pi), `length_nm`, `centroid`, `direction` (line, axis), `grain` that most of the line is in,
        `depth_nm` (median distance from the nearest boundary or surface), `boundary_i`, `boundary_j` (0 0: inside a grain;
        0 j: at the surface of grain j; i j: on that boundary), `closed`; `node_line`, `node_position` (node, axis) [nm].
        Longest first. Attributes: bulk_lines, bulk_length_nm, density_per_um2 (length in grains over volume),
        boundary_vortices, surface_vortices, sense, shortest_nm, min_amplitude. An unreliable crystal has no lines and no counts.

    Notes
    -----
    A line that comes to a boundary goes on along it, and is cut there. Lines with G.b = 0 are not seen. Left out: lines
    shorter than four voxels, loops less than two voxels across, and lines whose surroundings are fainter than half the median.
    Source: phase vortices as dislocations, Clark et al., Nature Mater. 14, 780 (2015), doi:10.1038/nmat4320.
    """
    require(crystal, "support", "grain", schema=CRYSTAL)
    if crystal.attrs.get("grade") == "unreliable":
        return _table([], {"note": "the object is unreliable: no lines are given", "sense": SENSE})
    rho, basis = object_of(crystal), basis_of(crystal)
    middle = np.array([crystal[dim].to_numpy()[n // 2] for dim, n in zip(AXES, rho.shape[::-1], strict=True)])
    inside = kernel.interior(crystal.support.to_numpy())
    label = boundaries.filled(kernel.spread(crystal.grain.to_numpy(), inside))
    faint = FAINT * float(np.median(np.abs(rho[crystal.support.to_numpy()])))
    found = kernel.chains(kernel.residues(rho, inside))
    seen = _placed(found, label, basis, kernel.surroundings(np.abs(rho), inside) >= faint)
    moved = [one._replace(line=one.line.moved(middle)) for one in seen]
    voxel = abs(np.linalg.det(basis))
    volume = float(np.count_nonzero(inside) * voxel)
    notes = {"sense": SENSE, "shortest_nm": kernel.SHORTEST * float(np.cbrt(voxel)), "min_amplitude": faint}
    return _table(moved, notes | _counts(seen, volume))


def _placed(found: list[kernel.Chain], label: Array, basis: Array, bright: Array) -> list[_Seen]:
    """Parts of chains that are long and bright enough, with their grain and boundary, the longest first."""
    edge = float(np.cbrt(abs(np.linalg.det(basis))))
    depth, pair = boundaries.depth(label, basis), kernel.meeting(label, basis)
    seen = []
    for chain, whole in zip(found, kernel.lines(found, label.shape, basis), strict=True):
        at = _voxels(chain, label.shape)
        if whole.length < kernel.SHORTEST * edge or whole.extent < ACROSS * edge or not np.median(bright[at]):
            continue
        for part, bound in kernel.cut(chain, depth[at] < REACH * edge):
            here = _voxels(part, label.shape)
            (line,) = kernel.lines([part], label.shape, basis)
            grain, low, high = (_usual(values[here]) for values in (label, *pair))
            seen.append(_Seen(line, grain, float(np.median(depth[here])), (low, high) if bound else (0, 0)))
    return sorted(seen, key=lambda one: -one.line.length)


def _voxels(chain: kernel.Chain, shape: tuple[int, ...]) -> tuple[Array, ...]:
    """Index of the voxel below every node."""
    return tuple(np.clip(chain.nodes.astype(int), 0, np.array(shape) - 1).T)


def _usual(values: Array) -> int:
    """The commonest number above 0, or 0."""
    some = values[values > 0]
    return int(np.bincount(some).argmax()) if some.size else 0


def _counts(seen: list[_Seen], volume: float) -> dict[str, Any]:
    """Numbers of lines by place, and length and density of those inside grains."""
    bulk = [one.line.length for one in seen if not any(one.pair)]
    return {
        "bulk_lines": len(bulk),
        "bulk_length_nm": float(sum(bulk)),
        "density_per_um2": float(sum(bulk)) / volume * 1e6 if volume else 0.0,
        "boundary_vortices": sum(one.pair[0] > 0 for one in seen),
        "surface_vortices": sum(one.pair[0] == 0 and one.pair[1] > 0 for one in seen),
    }


def _table(seen: list[_Seen], notes: dict[str, Any]) -> xr.Dataset:
    """Every line and its nodes."""
    every = [one.line for one in seen]
    owner = np.repeat(np.arange(len(every)), [len(line.nodes) for line in every]) if every else np.zeros(0)
    values: dict[str, Any] = {
        "charge": np.array([line.charge for line in every], np.int16),
        "length_nm": np.array([line.length for line in every], float),
        "centroid": np.array([line.centroid for line in every], float).reshape(-1, 3),
        "direction": np.array([line.direction for line in every], float).reshape(-1, 3),
        "grain": np.array([one.grain for one in seen], np.int16),
        "depth_nm": np.array([one.depth for one in seen], float),
        "boundary_i": np.array([one.pair[0] for one in seen], np.int16),
        "boundary_j": np.array([one.pair[1] for one in seen], np.int16),
        "closed": np.array([line.closed for line in every], bool),
        "node_line": owner.astype(np.int32),
        "node_position": np.concatenate([line.nodes for line in every] or [np.zeros((0, 3))]),
    }
    labelled = {name: (field.dims, values[name], {"units": field.units}) for name, field in DISLOCATIONS.items()}
    return xr.Dataset(labelled, {"axis": AXES}, notes)
