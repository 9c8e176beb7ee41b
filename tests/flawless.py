"""What a flawless analysis would write of a simulated particle, in any pose that the data allow."""

import json

import h5py
import numpy as np

from xcdi.artificial.align import on_grid, to_image, to_wave

H = 50.0  # voxel of the laboratory grid [nm]
NAMES = 5  # a grain is called NAMES less its true name


def ramp(shape, d):
    index = np.meshgrid(*((np.arange(n) - n // 2) / n for n in shape), indexing="ij")
    return np.exp(2j * np.pi * sum(i * k for i, k in zip(index, d, strict=True)))


def disguised(rho, *, twin, shift=(2.3, -4.7, 5.4), slope=(1.3, -2.6, 0.4)):
    """The same object as another phasing would give it."""
    rho = to_image(to_wave(rho) * ramp(rho.shape, shift)) * ramp(rho.shape, slope) * np.exp(1.3j)
    return to_image(to_wave(rho).conj()) if twin else rho


def write_result(path, truth, *, twin=False, sign=1):
    """Write imaging and series into one file."""
    with h5py.File(path, "w") as file:
        write_object(file, truth, twin=twin)
        write_crystal(file, truth, twin=twin, sign=sign)
        write_boundaries(file, truth)
        write_series(file, truth)
    return path


def write_object(file, truth, *, twin=False):
    field, steps = truth["amplitude_data_frame"], truth["geometry/q_basis"]
    y0, y1, x0, x1 = truth.file["amplitude_data_frame"].attrs["box"]
    box = json.dumps({"frame": [0, len(field)], "y": [int(y0), int(y1)], "x": [int(x0), int(x1)]})
    image = file.create_group("entry_1/image_1")
    image.attrs.update(grade="good", box=box)
    q = np.linspace(0.001, 0.04, 20)
    for name, values in (
        ("data", disguised(to_image(field), twin=twin).astype(np.complex64)),
        ("q_basis", steps),
        ("q_peak", truth["geometry/G"]),
        ("kept", np.ones(8, bool)),
        ("q", q),
        ("prtf", np.ones_like(q)),
    ):
        image[name] = values
    file["entry_1/peak/valid"] = np.broadcast_to(honest(truth)[y0:y1, x0:x1], field.shape)
    file["entry_1/peak"].attrs["box"] = box


def write_crystal(file, truth, *, twin=False, sign=1):
    field, steps, g = truth["amplitude_data_frame"], truth["geometry/q_basis"], truth["geometry/G"]
    turn, size = -1 if twin else 1, np.linalg.norm(g)
    x, y, z = (turn * ((np.arange(n) - n // 2) * H + offset) for n, offset in ((31, 13.0), (33, -28.0), (29, 22.0)))
    here = on_grid(field, steps, x, y, z)

    def slope(along):
        """Derivative of the displacement along a direction, in strain."""
        d = along * H / 2
        ahead, behind = (on_grid(field, steps, x + s * d[0], y + s * d[1], z + s * d[2]) for s in (1, -1))
        return -sign * np.angle(ahead * behind.conj()) / H / size

    strain, tilt_1, tilt_2 = (slope(along) for along in truth["geometry/directions"])
    support = abs(here) > 0.3 * abs(here).max()
    positions = np.stack(np.meshgrid(z, y, x, indexing="ij"), axis=-1)
    weight = np.abs(field) ** 2
    mean = [np.average(i - n // 2, weights=weight) for i, n in zip(np.indices(field.shape), field.shape, strict=True)]
    crystal = file.create_group("entry_1/crystal")
    crystal.attrs["q_mean"] = g + steps @ mean
    for name, values in (
        ("amplitude", abs(here)),
        ("phase", np.where(support, turn * np.angle(here), np.nan)),
        ("strain", np.where(support, strain, np.nan)),
        ("strain_error", abs(strain - truth.sample(truth["strain"], positions))),
        ("tilt_1", np.where(support, tilt_1, np.nan)),
        ("tilt_2", np.where(support, tilt_2, np.nan)),
        ("d_spacing", 2 * np.pi / size / np.sqrt((1 - strain) ** 2 + tilt_1**2 + tilt_2**2)),
        ("support", support),
        ("grain", NAMES - truth.sample(truth["label"], positions, order=0)),
        *zip("xyz", (turn * x, turn * y, turn * z), strict=True),
    ):
        file[f"entry_1/{name}"] = values


def write_boundaries(file, truth):
    group = file.create_group("entry_1/boundaries")
    for side in "ij":
        group[side] = NAMES - truth[f"boundaries/{side}"]
    group["normal"], group["area_nm2"] = -truth["boundaries/normal"], truth["boundaries/area"]


def write_series(file, truth):
    count = int(truth.config["frames"])
    good = np.ones(count, bool)
    good[[*truth["artifacts/dropped"], *truth["artifacts/doubled"]]] = False
    y0, y1, x0, x1 = truth.file["amplitude_data_frame"].attrs["box"]
    rows, columns = np.nonzero(honest(truth)[y0:y1, x0:x1])
    matrix = np.where(good[:, None] & good, 1.0, np.nan)
    for name, values in (
        ("frame_ok", good),
        ("time", np.arange(count) * truth.config["frame_time_s"]),
        ("pixel_y", rows + y0),
        ("pixel_x", columns + x0),
        ("two_time_corr_func", matrix[None]),
    ):
        file[f"entry/twotime/{name}"] = values
    write_events(file, truth, np.arange(len(truth["events/frame"])))


def write_events(file, truth, which):
    """The true events `which`, measured as the truth does."""
    if "entry/events" in file:
        del file["entry/events"]
    group = file.create_group("entry/events")
    group.attrs["normalisation"] = "N4"
    boundary = truth["events/boundary"][which]
    for name, values in (
        ("frame", truth["events/frame"][which]),
        ("drop", truth["events/drop_N4"][which]),
        ("flags", [""] * len(which)),
        ("boundary_i", NAMES - truth["events/i"][which]),
        ("boundary_j", NAMES - truth["events/j"][which]),
        ("ranked", np.stack([boundary, np.full_like(boundary, -1)], axis=1)),
        ("grain", NAMES - truth["events/moving"][which]),
    ):
        group[name] = values


def honest(truth):
    """Pixels of the detector that measure what they should."""
    config = truth.config
    y, x = np.indices(config["detector"])
    row, column, radius = config["beamstop"]
    good = (y - row) ** 2 + (x - column) ** 2 > radius**2
    for y0, y1, x0, x1 in config["gaps"]:
        good[y0:y1, x0:x1] = False
    for name in ("dead", "hot", "flickering"):
        good[tuple(truth[f"artifacts/{name}"].T)] = False
    return good
