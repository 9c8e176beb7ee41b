"""Every beamline that comes with xcdi: q as xrayutilities has it, and tension that comes out as tension."""

import json
from functools import cache

import h5py
import numpy as np
import pytest
import xarray as xr

import xcdi.io
from xcdi.beamline import Beamline, Stage, beamline_names, load_beamline
from xcdi.kernels import geometry as kernel
from xcdi.kernels.phasing import placing
from xcdi.settings import from_mapping
from xcdi.stages import geometry, instrument, strain

HOMES = [name for name in beamline_names() if load_beamline(name).geometry]
SHAPE = (13, 17, 15)
MIDDLE = tuple(n // 2 for n in SHAPE)
ENERGY = 9.0
TO_XU = {"x": "y", "y": "z", "z": "x"}  # xrayutilities: x along the beam, z up


def angles_of(name, seed=5):
    """Angles [deg] that no formula survives by chance."""
    rng, layout = np.random.default_rng(seed), load_beamline(name).geometry
    sample = {c.motor: c.zero_deg + rng.uniform(-60, 60) for c in layout.sample}
    return sample | {c.motor: c.zero_deg + rng.uniform(38, 55) for c in layout.detector}


def scan_of(layout, motors, rocking=None):
    """A scan without counts: the peak is at a pixel off the axis of the arm, or far from the beam if there is no arm."""
    centre = [3.3, 20.6] if layout.detector else [-16000.3, -18000.6]
    attrs = {"geometry": layout.model_dump_json(), "energy_kev": ENERGY, "distance_m": 1.3, "pixel_size_m": [55e-6, 65e-6]}
    attrs |= {"centre_px": centre} | ({"rocking_motor": rocking} if rocking else {})
    return xr.Dataset(coords={"frame": np.arange(SHAPE[0])} | motors, attrs=attrs)


def turned(circles, motors):
    return kernel.compose([(c.axis, np.radians(motors[c.motor] - c.zero_deg)) for c in circles])


def in_the_crystal(scan, layout, motors):
    """Q of every pixel in axes that turn with the sample, (row, column, 3)."""
    q = kernel.q_map(instrument.camera(scan), SHAPE[1:], wavelength=instrument.wavelength(scan))
    return q @ turned(layout.sample, motors)


def of_xrayutilities(layout, motors, shape, **options):
    """The same by xrayutilities, in our order of axes [1/nm]."""
    xu = pytest.importorskip("xrayutilities")
    swap = lambda axis: TO_XU[axis[0]] + axis[1]  # noqa: E731
    sample = [swap(c.axis) for c in layout.sample] or ["z+"]
    detector = [swap(c.axis) for c in layout.detector] + [
        "t" + TO_XU[s.axis[0]] for s in layout.stage
    ]  # of stages it knows the way, not the sense
    moved = [motors[c.motor] - c.zero_deg for c in layout.sample] or [0.0]
    moved += [motors[c.motor] - c.zero_deg for c in layout.detector] + [
        float(s.axis[1] + "1") * (motors[s.motor] - s.zero_mm) * 1e-3 for s in layout.stage
    ]
    if not detector:
        detector, moved = ["z+"], [*moved, 0.0]
    with np.errstate(all="ignore"):
        conversion = xu.QConversion(sample, detector, [1, 0, 0])
        (row, column), (height, width) = options.pop("centre"), (55e-6, 65e-6)
        place = {"cch1": row, "cch2": column, "Nch1": shape[0], "Nch2": shape[1], "distance": 1.3, "pwidth1": height, "pwidth2": width}
        conversion.init_area(swap(layout.rows), swap(layout.columns), **place, **options)
        z, x, y = conversion.area(*moved, wl=10 * kernel.wavelength(ENERGY), deg=True)
    return 10 * np.stack([x, y, z], axis=-1)


def assert_equal_to_a_billionth(ours, theirs):
    assert np.abs(ours - theirs).max() < 1e-9 * np.linalg.norm(theirs, axis=-1).max()


@pytest.mark.parametrize("name", HOMES)
def test_every_pixel_is_where_xrayutilities_puts_it(name):
    layout, motors = load_beamline(name).geometry, angles_of(name)
    scan = scan_of(layout, motors)
    theirs = of_xrayutilities(layout, motors, SHAPE[1:], centre=scan.attrs["centre_px"])
    assert_equal_to_a_billionth(in_the_crystal(scan, layout, motors), theirs)


@pytest.mark.parametrize("name", HOMES)
def test_with_a_stage_as_well(name):
    """The detector moves across the beam, or across its arm, by reading less zero."""
    plain, motors = load_beamline(name).geometry, angles_of(name) | {"dx": 31.0, "dy": -12.0}
    stage = (Stage(motor="dx", axis="x-", zero_mm=2.0), Stage(motor="dy", axis="y+", zero_mm=-5.0))
    layout = plain.model_copy(update={"stage": stage})
    scan = scan_of(layout, motors)
    scan = scan.assign_coords(dx=((), 31.0, {"units": "mm"}), dy=((), -12.0, {"units": "mm"}))
    theirs = of_xrayutilities(layout, motors, SHAPE[1:], centre=scan.attrs["centre_px"])
    assert_equal_to_a_billionth(in_the_crystal(scan, layout, motors), theirs)
    assert np.abs(in_the_crystal(scan_of(plain, motors), plain, motors) - theirs).max() > 1e-3


@pytest.mark.parametrize("name", HOMES)
def test_frames_cut_and_binned_as_their_file_states(name, tmp_path):
    """Groups of 3 x 5 pixels of the chip, from (4, 2) on: each has the q of its middle pixel."""
    layout, motors = load_beamline(name).geometry, angles_of(name)
    whole = scan_of(layout, motors)
    numbers = {"energy": (ENERGY, "keV"), "distance": (1.3, "m"), "pixel_size_y": (55, "um"), "pixel_size_x": (65, "um")}
    stated = {key: {"value": value, "units": unit, "source": "test"} for key, (value, unit) in numbers.items()}
    table = {"name": "home", "format": "hdf5", "layout": {"counts": "/frames"}, "quantities": stated}
    table |= {"motors": {motor: {"path": f"/{motor}", "units": "deg"} for motor in motors}}
    table |= {"geometry": json.loads(layout.model_dump_json()) | {"centre_px": whole.attrs["centre_px"]}}
    with h5py.File(tmp_path / "S1.h5", "w") as file:
        file["frames"] = np.ones((2, 4, 2), "u2")
        for motor, angle in motors.items():
            file[motor] = [angle, angle]
    home = from_mapping(Beamline, table | {"detector": {"roi_origin": [4, 2], "binning": [3, 5]}})
    part = xcdi.io.open_scan(tmp_path / "S1.h5", "S1", home)
    ours = kernel.q_map(instrument.camera(part), (4, 2), wavelength=instrument.wavelength(part)) @ turned(layout.sample, motors)
    theirs = of_xrayutilities(layout, motors, SHAPE[1:], centre=whole.attrs["centre_px"])
    assert_equal_to_a_billionth(ours, theirs[5:16:3, 4:12:5])


@pytest.mark.parametrize("name", HOMES)
def test_a_beamline_fits_on_a_screen_and_names_its_sources(name):
    text = beamline_names()[name].read_text()
    assert len(text.splitlines()) <= 30
    assert name.startswith("demo") or "github.com" in text


def spread(basis):
    """Volume of the three unit steps: 1 at right angles, 0 in a plane."""
    return abs(np.linalg.det(basis.steps / np.linalg.norm(basis.steps, axis=0)))


@cache
def experiment(name, motor):
    """Scan and steps at its middle pixel, at angles that make the motor rock across the detector and not along it."""
    layout = load_beamline(name).geometry
    tried = [(layout, angles_of(name, seed), scan_of(layout, angles_of(name, seed), motor)) for seed in range(12)]
    coarse = [kernel.q_basis(instrument.camera(still), MIDDLE[1:], unit_step(layout, at, motor), wavelength=0.1) for _, at, still in tried]
    best = int(np.argmax([spread(basis) for basis in coarse]))
    _, motors, still = tried[best]
    across, along = (np.linalg.norm(coarse[best].steps[:, i]) for i in (1, 0))
    steps = 1e-6 * across / along * (np.arange(SHAPE[0]) - MIDDLE[0])
    moved = ENERGY * (1 + steps) if motor == "energy" else motors[motor] + np.degrees(steps)
    scan = still.assign_coords({motor: ("frame", moved)})
    return layout, motors, scan, instrument.q_basis(scan, MIDDLE)


def unit_step(layout, motors, motor):
    if motor == "energy":
        return kernel.EnergyScan(1e-6)
    place = [c.motor for c in layout.sample].index(motor)
    outer = tuple((c.axis, np.radians(motors[c.motor] - c.zero_deg)) for c in layout.sample[:place])
    return kernel.Rocking(layout.sample[place].axis, 1e-6, outer)


def atoms_of(basis):
    """Atoms of a ball (n, 3) [nm] on planes at right angles to G, and its middle."""
    g = np.linalg.norm(basis.peak)
    along, *across = strain.strain.directions(basis.peak)
    radius = 0.27 * 2 * np.pi / np.linalg.norm(basis.steps, axis=0).max()
    middle = radius * (0.21 * along - 0.17 * across[0] + 0.13 * across[1])
    coarse = radius / 6
    planes = 2 * np.pi / g * max(round(coarse * g / (2 * np.pi)), 1)
    index = np.indices((15, 15, 15)).reshape(3, -1).T - 7
    sites = index @ np.stack([planes * along, coarse * across[0], coarse * across[1]])
    origin = along * (2 * np.pi / g) * round(middle @ along * g / (2 * np.pi)) + middle - (middle @ along) * along
    inside = np.linalg.norm(sites, axis=1) < radius
    return sites[inside] + origin, origin, radius


def amplitude(name, motor, atoms):
    """Kinematic sum over atoms at every pixel of every frame, the crystal turned as the circles turn it; no sampling step enters."""
    layout, motors, scan, _ = experiment(name, motor)
    reference = turned(layout.sample, motors)
    out = np.empty(SHAPE, complex)
    for frame in range(SHAPE[0]):
        now = motors if motor == "energy" else motors | {motor: float(scan[motor][frame])}
        energy = float(scan[motor][frame]) if motor == "energy" else ENERGY
        q = kernel.q_map(instrument.camera(scan, frame), SHAPE[1:], wavelength=kernel.wavelength(energy)).reshape(-1, 3)
        seen = q @ turned(layout.sample, now) @ reference.T  # by the crystal as it stands at the reference frame
        phase = seen @ atoms.T
        out[frame] = (np.cos(phase).sum(axis=1) - 1j * np.sin(phase).sum(axis=1)).reshape(SHAPE[1:])
    return out


def object_of(rho, basis, twin):
    """OBJECT of a complex field in the frame of the data."""
    size = np.abs(rho)
    fields = {
        "rho": (("z", "y", "x"), rho.astype(np.complex64), {"units": "1"}),
        "support": (("z", "y", "x"), size > 0.5 * np.percentile(size, 99), {"units": ""}),
        "voxel_basis": (("axis", "index"), kernel.voxel_basis(basis.steps, SHAPE), {"units": "nm"}),
        "q_peak": (("axis",), basis.peak, {"units": "1/nm"}),
    }
    return xr.Dataset(fields, attrs={"twin": twin})


def halves(crystal, basis, middle, radius):
    """Strain against q_peak in the half up G and in the half down G, away from the rim."""
    place = np.stack(np.meshgrid(crystal.z, crystal.y, crystal.x, indexing="ij")[::-1], axis=-1) - middle
    up = place @ basis.peak / np.linalg.norm(basis.peak)
    core = (np.linalg.norm(place, axis=-1) < 0.75 * radius) & crystal.support.to_numpy()
    total = crystal.strain.to_numpy() + crystal.attrs["mean_strain"]
    return [float(np.mean(total[core & part])) for part in (up > 0.25 * radius, up < -0.25 * radius)]


CASES = [(name, m) for name in HOMES for m in (*(c.motor for c in load_beamline(name).geometry.sample), "energy")]


@pytest.mark.parametrize(("name", "motor"), CASES)
def test_tension_comes_out_as_tension_where_it_is_for_both_twins(name, motor):
    basis = experiment(name, motor)[-1]
    sites, middle, radius = atoms_of(basis)
    up = (sites - middle) @ basis.peak / np.linalg.norm(basis.peak)
    tension = 1.2 / (np.linalg.norm(basis.peak) * radius)
    shift = np.where(up > 0, tension, -0.5 * tension) * up
    atoms = sites + shift[:, None] * basis.peak / np.linalg.norm(basis.peak)
    rho = np.fft.fftshift(np.fft.ifftn(np.fft.ifftshift(amplitude(name, motor, atoms))))
    for twin, field, at, expected in (
        ("as it came", rho, middle, [tension, -0.5 * tension]),
        ("inverted conjugate", np.conj(rho[::-1, ::-1, ::-1]), -middle, [-0.5 * tension, tension]),
    ):
        crystal = strain.field(geometry.to_lab(object_of(field, basis, twin)))
        np.testing.assert_allclose(halves(crystal, basis, at, radius), expected, atol=0.12 * tension)
        assert crystal.attrs["twin"] == twin
        assert placing.placing(field).inverted == (placing.placing(rho).inverted != (twin != "as it came")), "both must end as one"
