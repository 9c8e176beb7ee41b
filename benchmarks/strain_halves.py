"""Strain of a measured crystal from halves of its data: how alike the maps are, and how large their stated errors.

    python benchmarks/strain_halves.py [--parts frames photons seeds] [--recipe JSON] [--data FOLDER] [--work FOLDER]

``frames``: the even and the odd frames, each a scan with twice the rocking step and half the light. ``photons``: every photon of every
frame put into one of two halves by chance, each with all the frames. ``seeds``: all the data twice, from other random starts. Every
part goes through the usual stages, in the same window of angles and pixels. Maps are laid upon each other and compared in the
interior that they have in common, voxel by voxel and as means over a resolution element: a Gaussian as wide as the full period
that the whole data are resolved to, along each axis. With ``--work`` the crystals are kept there as results.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import xarray as xr
from scipy import ndimage as ndi

from xcdi import io
from xcdi.kernels.phasing import alignment
from xcdi.schema import LAB
from xcdi.stages import geometry, imaging, phasing, preflight, strain
from xcdi.stages.recipe import Recipe

MEASURED = Path(os.environ.get("XCDI_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))
SCAN = ("34idc_scan54", "scan54_frames.h5", "scan54_frames", "34idc")
DEEP = 2  # voxels from the surface that the interior begins at
ALIKE = 0.10  # bar: relative difference of the rms strain of two halves
FWHM = 2.3548  # of a Gaussian, in its sd


class Half(NamedTuple):
    """One part of the data, phased: its peak, its object and its crystal with strain."""

    peak: xr.Dataset
    phased: xr.Dataset
    crystal: xr.Dataset


class Alike(NamedTuple):
    """Two maps in their common interior of so many voxels: rms strain of each, their correlation, and rms of their difference."""

    voxels: int
    rms: tuple[float, float]
    correlation: float
    difference: float

    @property
    def ratio(self) -> float:
        """Of the rms strains: the larger over the smaller."""
        return max(self.rms) / min(self.rms)


def frames(scan: xr.Dataset) -> dict[str, xr.Dataset]:
    """Even and odd frames."""
    return {"even frames": scan.isel(frame=slice(0, None, 2)), "odd frames": scan.isel(frame=slice(1, None, 2))}


def photons(scan: xr.Dataset) -> dict[str, xr.Dataset]:
    """Two independent halves of the photons of every frame."""
    counts = scan.counts.to_numpy()
    told = counts != scan.attrs["sentinel"]
    one = np.random.default_rng(54).binomial(np.where(told, counts, 0).astype(np.int64), 0.5)
    halves = (one, np.where(told, counts, 0) - one)
    parts = [np.where(told, half, counts).astype(counts.dtype) for half in halves]
    return {f"photons {n}": scan.assign(counts=(scan.counts.dims, part, scan.counts.attrs)) for n, part in enumerate(parts, 1)}


def seeds(scan: xr.Dataset) -> dict[str, xr.Dataset]:
    """All the data once more, for other random starts."""
    return {"other seed": scan}


PARTS = {"frames": frames, "photons": photons, "seeds": seeds}


def phase(scan: xr.Dataset, how: imaging.Imaging, *, seed: int = 1) -> Half:
    """Take a scan through the usual stages."""
    peak = imaging.cut(scan, how)
    peak = preflight.noted(peak, preflight.diagnose(scan, peak))
    phased = phasing.reconstruct(peak, how.recipe, seed=seed)
    return Half(peak, phased, strain.field(geometry.to_lab(phased, voxel_nm=how.voxel_nm)))


def compare(one: Half, other: Half, width: np.ndarray) -> tuple[Alike, Alike]:
    """Lay the second object upon the first and compare the strain of both, of voxels and of means over `width` [nm] along z, y, x."""
    shape = [max(n) + 8 for n in zip(one.crystal.rho.shape, other.crystal.rho.shape, strict=True)]
    rho, moved = (_padded(np.where(half.crystal.support, half.crystal.rho, 0), shape) for half in (one, other))
    how = alignment.pose(np.fft.fftn(moved), np.fft.fftn(rho))
    within = [_padded(half.crystal.support.to_numpy(), shape) for half in (one, other)]
    within[1] = _laid(within[1], how)
    maps = [_strain(_strained(*each)) for each in ((rho, within[0], one), (alignment.align(moved, rho), within[1], other))]
    common = np.logical_and(*(ndi.binary_erosion(inside, iterations=DEEP) for inside in within))
    sigma = width / FWHM / float(one.crystal.x[1] - one.crystal.x[0])
    means = [_mean(values, inside, sigma) for values, inside in zip(maps, within, strict=True)]
    return _alike(maps[0][common], maps[1][common]), _alike(means[0][common], means[1][common])


def _alike(a: np.ndarray, b: np.ndarray) -> Alike:
    a, b = a - a.mean(), b - b.mean()
    return Alike(len(a), (float(a.std()), float(b.std())), float(np.corrcoef(a, b)[0, 1]), float((a - b).std()))


def _mean(values: np.ndarray, inside: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """Gaussian mean over the voxels inside."""
    total, share = (ndi.gaussian_filter(part, sigma) for part in (np.where(inside, values, 0.0), inside.astype(float)))
    return np.asarray(total / np.where(inside, share, 1.0))


def _padded(values: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Put zeros round `values`, its middle n // 2 at that of `shape`."""
    before = [n // 2 - m // 2 for n, m in zip(shape, values.shape, strict=True)]
    return np.pad(values, [(b, n - m - b) for b, n, m in zip(before, shape, values.shape, strict=True)])


def _laid(support: np.ndarray, how: alignment.Pose) -> np.ndarray:
    """Move a support as its object is moved."""
    wave = np.fft.fftn(support.astype(float))
    wave = np.conj(wave) if how.twin else wave
    for axis, (n, s) in enumerate(zip(support.shape, how.shift, strict=True)):
        wave = wave * np.exp(-2j * np.pi * s * np.fft.fftfreq(n)).reshape([-1 if a == axis else 1 for a in range(3)])
    return np.asarray(np.fft.ifftn(wave).real > 0.5)


def _strained(rho: np.ndarray, support: np.ndarray, half: Half) -> xr.Dataset:
    """A crystal (z, y, x) with the grid step and the peak of that of `half`."""
    edge = float(half.crystal.x[1] - half.crystal.x[0])
    axes = {dim: (dim, edge * np.arange(n), {"units": "nm"}) for dim, n in zip(LAB, rho.shape, strict=True)}
    fields = {"rho": (LAB, rho, {"units": "1"}), "support": (LAB, support & (np.abs(rho) > 0), {"units": ""})}
    return strain.field(xr.Dataset(fields, axes, {name: half.crystal.attrs[name] for name in ("q_peak", "ramp")}))


def _strain(crystal: xr.Dataset) -> np.ndarray:
    return crystal.strain.fillna(0.0).to_numpy().astype(float)


def lines(name: str, half: Half) -> Iterator[str]:
    """Lines about one part: its data, how it was phased, and what it states."""
    peak, phased, crystal = half
    pixels = next(finding.figure for finding in preflight.recalled(peak) if finding.name == "oversampling")
    yield (
        f"{name:12s} {'x'.join(map(str, peak.counts.shape)):12s} {_row(pixels, '.2f'):16s} {phased.attrs['grade']:10s} "
        f"{phased.attrs['agreement']:.3f}  {_row(phased.resolution_nm.values, '.1f'):16s} {int(crystal.support.sum()):7d}  "
        f"{float(crystal.strain.std()):.2e}  {float(crystal.strain_error.median()):.2e}  {float(crystal.displacement_error.median()):.2e}"
    )


def _row(values: Sequence[float], how: str) -> str:
    return " ".join(format(float(value), how) for value in values)


def verdict(name: str, found: tuple[Alike, Alike], stated: float) -> Iterator[str]:
    """Two lines about a pair of maps, of voxels whose stated errors make a difference of `stated`."""
    for what, one, error in zip(("voxels", "means"), found, (f"  {stated:.2e}", ""), strict=True):
        met = "met" if one.ratio - 1 <= ALIKE else "missed"
        yield (
            f"{name:26s} {what:6s} {one.voxels:7d}  {one.rms[0]:.2e}  {one.rms[1]:.2e}  {one.ratio:.3f} {met:6s}  "
            f"{one.correlation:.3f}        {one.difference:.2e}{error}"
        )


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", default=list(PARTS), choices=list(PARTS))
    parser.add_argument("--recipe", type=Recipe.model_validate_json, default=Recipe(), help="settings, as JSON")
    parser.add_argument("--data", type=Path, default=MEASURED, help="folder of measured data; not set: $XCDI_TEST_DATA")
    parser.add_argument("--work", type=Path, help="where crystals are kept; not set: nowhere")
    asked = parser.parse_args(arguments)
    folder, file, name, beamline = SCAN
    scan = io.open_scan(asked.data / folder / file, name, beamline).load()
    made = _phased(scan, asked.parts, asked.recipe)
    width = made["all"].phased.resolution_nm.sel(direction=list(LAB)).to_numpy()
    print(f"\npair, what is compared, voxels, rms strain of each, ratio (bar {1 + ALIKE:.2f}), correlation, rms of difference, as stated")
    for one, other in _pairs(list(made)):
        stated = float(np.hypot(*(made[name].crystal.strain_error.median() for name in (one, other))))
        print(*verdict(f"{one} / {other}", compare(made[one], made[other], width), stated), sep="\n", flush=True)
    for each, half in made.items() if asked.work else ():
        kept = {"peak": half.peak, "object": half.phased, "crystal": half.crystal.drop_vars("solutions")}
        io.save(kept, asked.work / f"{each.replace(' ', '-')}.h5", provenance=io.provenance("", [asked.data / folder / file]))


def _phased(scan: xr.Dataset, parts: Sequence[str], recipe: Recipe) -> dict[str, Half]:
    """Phase all the data, then every part, in the same window and on the same voxels; a line is printed for each."""
    usual = imaging.Imaging(recipe=recipe)
    box = imaging.cut(scan, usual).counts.shape
    print("part         box          px per fringe    grade      R      resolution x y z voxels  strain sd, its error, error of u [nm]")
    made = {"all": phase(scan, usual.model_copy(update={"box": box}))}
    print(*lines("all", made["all"]), sep="\n", flush=True)
    usual = usual.model_copy(update={"voxel_nm": float(np.diff(made["all"].crystal.x[:2])[0])})
    for part in parts:
        window = (box[0] // 2, *box[1:]) if part == "frames" else box
        for name, data in PARTS[part](scan).items():
            made[name] = phase(data, usual.model_copy(update={"box": window}), seed=2 if part == "seeds" else 1)
            print(*lines(name, made[name]), sep="\n", flush=True)
    return made


def _pairs(names: list[str]) -> Iterator[tuple[str, str]]:
    """Every part against all the data, and the halves against each other."""
    for name in names[1:]:
        yield names[0], name
    for one, other in (("even frames", "odd frames"), ("photons 1", "photons 2")):
        if one in names:
            yield one, other


if __name__ == "__main__":
    main()
