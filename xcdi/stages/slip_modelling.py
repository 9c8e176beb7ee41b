"""The forward model of slips: which part of which grain moved, and how far, from the patterns of all reflections together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from xcdi.errors import XcdiError
from xcdi.kernels.avalanches import attribution, patterns, slip_model, slips, views
from xcdi.stages import imaged_particle, joint_events, reflections
from xcdi.stages.strain import vector_of
from xcdi.stages.tensor_grade import alike

__all__ = ["Modelled", "Scene", "modelled", "scene_of", "usable"]

RADII = (0.28, 0.42, 0.6, 0.9, 1.3)  # of the radius of a sphere of the particle's volume
LEAST = 2  # frames on either side
REACH = 0.5  # steps of the rocking scan by which the angle of the series may be off
CREEP = 0.5  # the same, between one event and the next
ALIKE = 0.9  # overlap of an amplitude with the mean of the others, below which it is that of another particle
SIZE = 1.5  # factor by which the volumes of one particle may differ


class Scene(NamedTuple):
    """The particle in the frame of the first reliable reflection, x, y, z about its centre.

    Attributes
    ----------
    number : list of int
        Results that take part.
    bodies, views : list
        Object of each, and how its series sees it.
    boxes : list of Movie
        Their series, on the pixels that the object was made from.
    g : array, shape (n, 3)
        Their reciprocal lattice vectors [1/nm].
    parts : list of Part
        What may slip.
    held : list of list of array
        Voxels of each part in each body.
    pairs : list of (int, int)
        Grains of each boundary, of the first.
    twins, undecided : list of bool
        Which objects are turned inside out against the first, and of which neither amplitude nor phase says it.
    twins_by : str
        What says it.
    """

    number: list[int]
    bodies: list[slip_model.Body]
    views: list[views.View]
    boxes: list[Any]
    g: np.ndarray
    parts: list[slip_model.Part]
    held: list[list[np.ndarray]]
    pairs: list[tuple[int, int]]
    twins: list[bool]
    undecided: list[bool]
    twins_by: str


class Modelled(NamedTuple):
    """What the model says of one event; no slip where it has too few frames."""

    slip: slip_model.Common | None
    boundary: np.ndarray  # probability of each
    likeness: tuple[float, ...] = ()  # of each object's pattern with the frames before


def usable(results: Sequence[Mapping[str, xr.Dataset]]) -> list[int]:
    """Results whose object is reliable and whose series has been seen through it."""
    return [
        k
        for k, result in enumerate(results)
        if result["object"].attrs.get("grade") != "unreliable"
        and "view_offset" in result["events"].attrs
        and "box" in result["object"].attrs
    ]


def scene_of(
    results: Sequence[Mapping[str, xr.Dataset]],
    series: Sequence[joint_events.Watched],
    chosen: Sequence[int],
    *,
    centres: int,
    seed: int,
    twins: Sequence[bool] | None = None,
) -> Scene:
    """Put the objects of the `chosen` results together, with all that may slip; `twins` says which are inside out, if that is known.

    Raises
    ------
    XcdiError
        If their amplitudes or volumes are those of different particles.
    """
    crystals = [results[k]["crystal"] for k in chosen]
    _one_size(crystals, chosen)
    seen = [reflections.seen_of(crystal, crystals[0]) for crystal in crystals]
    grid = reflections.grid_of(seen, None)
    placed, hands = reflections.registered(seen, grid, twins)
    _one_particle(placed, chosen)
    bodies = [
        _body(results[k]["object"], crystals[0], one, where, seen[0].centre) for k, one, where in zip(chosen, seen, placed, strict=True)
    ]
    first = results[chosen[0]]
    pairs = [(int(i), int(j)) for i, j in zip(first["boundaries"].i.values, first["boundaries"].j.values, strict=True)]
    g = np.array([one.turn @ (vector_of(one.crystal, "q_peak") + vector_of(one.crystal, "ramp")) for one in seen])
    parts = _parts(bodies[0], first["object"].voxel_basis.to_numpy(), pairs, centres, seed)
    return Scene(
        number=list(chosen),
        bodies=bodies,
        views=[views.View(float(results[k]["events"].attrs["view_offset"]), (0.0, 0.0), 1.0, 0.0) for k in chosen],
        boxes=[imaged_particle.on_box(series[k].movie, results[k]["object"]) for k in chosen],
        g=g,
        parts=parts,
        held=[[slip_model.members(body, part) for part in parts] for body in bodies],
        pairs=pairs,
        twins=[bool(twin) for twin in hands.twin],
        undecided=[bool(one) for one in hands.undecided],
        twins_by=hands.by,
    )


def _one_size(crystals: Sequence[xr.Dataset], chosen: Sequence[int]) -> None:
    """Refuse volumes that no one particle has."""
    volumes = []
    for crystal in crystals:
        lines = [crystal[dim].to_numpy() for dim in "zyx"]
        volumes.append(float(crystal.support.sum()) * float(np.prod([abs(line[1] - line[0]) for line in lines])))
    for k, volume in zip(chosen, volumes, strict=True):
        if not 1 / SIZE < volume / volumes[0] < SIZE:
            raise XcdiError(
                f"the crystal of result {k + 1} has {volume:.3g} nm3, that of result {chosen[0] + 1} {volumes[0]:.3g} nm3; "
                "give results of one particle"
            )


def _one_particle(placed: Sequence[reflections.Placed], chosen: Sequence[int]) -> None:
    overlaps = alike(placed)
    worst = int(np.argmin(overlaps))
    if overlaps[worst] < ALIKE:
        raise XcdiError(
            f"the crystal of result {chosen[worst] + 1} is unlike the others (amplitude overlap {overlaps[worst]:.2f}, "
            f"{ALIKE:g} or more expected); give results of one particle"
        )


def _body(phased: xr.Dataset, first: xr.Dataset, one: reflections.Seen, where: reflections.Placed, origin: np.ndarray) -> slip_model.Body:
    """An object in its data frame, with its ramp, and the place and grain of its voxels in the common frame."""
    rho, basis = phased.rho.to_numpy().astype(np.complex128), phased.voxel_basis.to_numpy()
    own = (np.moveaxis(np.indices(rho.shape), 0, -1) - np.array(rho.shape) // 2) @ basis.T
    rho = rho * np.exp(1j * own @ np.asarray(phased.attrs.get("ramp", np.zeros(3)), float))
    hand = -1.0 if where.twin else 1.0
    places = hand * (own - one.centre) @ one.turn.T + where.shift
    grain = _grain_at(first, places + origin)
    inside = grain > 0
    return slip_model.Body(rho, np.argwhere(inside), places[inside], grain[inside], hand)


def _grain_at(crystal: xr.Dataset, places: np.ndarray) -> np.ndarray:
    """Grain of the nearest voxel at places (..., 3), x, y, z [nm]; 0 outside."""
    near, inside = [], np.ones(places.shape[:-1], bool)
    for dim, axis in (("z", 2), ("y", 1), ("x", 0)):
        line = crystal[dim].to_numpy()
        at = np.rint((places[..., axis] - line[0]) / (line[1] - line[0])).astype(int)
        inside &= (at >= 0) & (at < line.size)
        near.append(np.clip(at, 0, line.size - 1))
    return np.where(inside, crystal.grain.transpose("z", "y", "x").to_numpy()[tuple(near)], 0)


def _parts(body: slip_model.Body, basis: np.ndarray, pairs: list[tuple[int, int]], centres: int, seed: int) -> list[slip_model.Part]:
    """What may slip, in sizes that go with that of the particle."""
    radius = (0.75 * len(body.voxels) * abs(float(np.linalg.det(basis))) / np.pi) ** (1 / 3)
    return slip_model.parts_at(body, pairs, radii=[r * radius for r in RADII], centres=centres, seed=seed)


def modelled(joint: joint_events.Joint, scene: Scene, plane: slips.Plane, *, longest: int) -> Iterator[Modelled]:
    """Yield what explains one event after the other; slips that are explained are carried into the objects before the next."""
    scales = [patterns.frame_scale(one.frames, one.valid, one.ok) for one in scene.boxes]
    g, boundary, reach = scene.g @ plane.axes.T, np.array([part.boundary for part in scene.parts], int), REACH
    for k in range(len(joint.first)):
        sides = [joint_events.sides(joint, k, one, longest) for one in scene.boxes]
        if not joint.inside[k] or not scene.parts or min(side.size for pair in sides for side in pair) < LEAST:
            yield Modelled(None, np.full(len(scene.pairs), np.nan))
            continue
        every = zip(scene.boxes, scales, sides, strict=True)
        changes = [tuple(one.frames[side] / scale[side, None, None] for side in pair) for one, scale, pair in every]
        scene = _looked(scene, [pre.mean(axis=0) for pre, _ in changes], reach)
        found = slip_model.common_slip(_costs(scene, changes), g, [body.hand for body in scene.bodies])
        likeness = tuple(view.likeness for view in scene.views)
        scene, reach = _after(scene, [post.mean(axis=0) for _, post in changes], found, g), CREEP
        yield Modelled(found, np.array([found.probability[boundary == b].sum() for b in range(len(scene.pairs))]), likeness)


def _looked(scene: Scene, pre: Sequence[np.ndarray], reach: float) -> Scene:
    """The scene with the views that fit the patterns before an event."""
    every = zip(scene.bodies, pre, scene.boxes, scene.views, strict=True)
    found = [views.find_view(body.rho, mean, one.valid, offset=view.offset, reach=reach) for body, mean, one, view in every]
    return scene._replace(views=found)


def _costs(scene: Scene, changes: Sequence[tuple[np.ndarray, ...]]) -> list[slip_model.Cost]:
    """What every slip would leave unexplained, in each reflection."""
    made = []
    for body, held, view, one, (pre, post) in zip(scene.bodies, scene.held, scene.views, scene.boxes, changes, strict=True):
        waves = slip_model.part_waves(body, held, view)
        seen = attribution.change(pre, post, one.valid)
        made.append(slip_model.costs(seen, views.wave(body.rho, view), waves, view.scale))
    return made


def _after(scene: Scene, post: Sequence[np.ndarray], found: slip_model.Common, g: np.ndarray) -> Scene:
    """The scene after the slip: each object takes part in it if that makes it more like the pattern that follows."""
    bodies = []
    for body, view, mean, one, way in zip(scene.bodies, scene.views, post, scene.boxes, g, strict=True):
        moved = slip_model.slipped(body, scene.parts[found.part], -float(way @ found.vector))
        tried = [views.likeness(np.abs(views.wave(each.rho, view)) ** 2, mean, one.valid) for each in (body, moved)]
        bodies.append(moved if tried[1] > tried[0] else body)
    return scene._replace(bodies=bodies)
