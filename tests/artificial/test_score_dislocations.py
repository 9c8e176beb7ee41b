"""The judge of dislocations passes the true line in either pose, and sees what is short, astray, wound wrongly or invented."""

import h5py
import numpy as np
import pytest

from xcdi.artificial import score_dislocations
from xcdi.artificial.compared import Lab
from xcdi.artificial.verdict import ABSENT, Truth

FINE, COARSE = 25.0, 40.0
POINT = np.array([-110.0, 60.0, 10.0])


class Seen:
    """A result with lines, laid upon a truth of two grains that meet at x = 0; a twin stands at the mirrored place."""

    def __init__(self, truth, tmp_path, *, twin=False):
        self.truth, self.turn = truth, -1 if twin else 1
        self.shift = np.array([13.0, -7.0, 21.0])  # x, y, z: the result lies elsewhere
        self.axes = {name: COARSE * (np.arange(n) - n // 2) for name, n in zip("zyx", (23, 25, 27), strict=True)}
        grid = np.stack(np.meshgrid(*(self.axes[n] for n in "zyx"), indexing="ij"), axis=-1)
        self.lab = Lab(self.turn * grid - self.shift[::-1], np.ones(grid.shape[:3], bool), 1.0, COARSE)
        self.lines = []

    def add(self, nodes, charge):
        """A line at `nodes` (x, y, z) [nm] of the truth that winds as `charge` says there."""
        nodes = np.asarray(nodes, float)
        along = (nodes[-1] - nodes[0]) / np.linalg.norm(nodes[-1] - nodes[0])
        self.lines.append((self.turn * (nodes + self.shift), self.turn * charge, along))
        return self

    def __getitem__(self, path):
        name = path.split("/")[-1]
        if name in self.axes:
            return self.axes[name]
        return {
            "node_position": np.concatenate([nodes for nodes, _, _ in self.lines] or [np.zeros((0, 3))]),
            "node_line": np.repeat(np.arange(len(self.lines)), [len(nodes) for nodes, _, _ in self.lines]),
            "charge": np.array([charge for _, charge, _ in self.lines], int),
            "direction": np.array([along for _, _, along in self.lines]).reshape(-1, 3),
        }.get(name)

    def failed(self):
        return [row["name"].split(",")[1].strip() for row in score_dislocations.rows(self) if not row["pass"]]


@pytest.fixture
def truth(tmp_path):
    axis = {name: FINE * (np.arange(n) - n // 2) for name, n in zip("zyx", (29, 31, 37), strict=True)}
    z, y, x = np.meshgrid(*axis.values(), indexing="ij")
    with h5py.File(tmp_path / "truth.h5", "w") as file:
        for name, values in axis.items():
            file[f"axes/{name}"] = values
        file["label"] = np.where((abs(x) < 440) & (abs(y) < 360) & (abs(z) < 340), 1 + (x > 0), 0)
        file["dislocations/grain"], file["dislocations/kind"] = [1], ["screw"]
        file["dislocations/point"], file["dislocations/line"] = [POINT], [[0.0, 0.0, 1.0]]
        file["dislocations/burgers"] = [[0.0, 0.0, 1.0]]
    with h5py.File(tmp_path / "truth.h5") as file:
        yield Truth(file)


def along_z(low=-330.0, high=330.0, away=0.0):
    height = np.arange(low, high, COARSE)
    return np.stack([POINT[0] + away + 0 * height, POINT[1] + 0 * height, height], axis=1)


@pytest.mark.parametrize("twin", [False, True])
def test_the_true_line_passes_in_either_pose(truth, tmp_path, twin):
    seen = Seen(truth, tmp_path, twin=twin).add(along_z(), 1)
    (line,) = score_dislocations.held(seen)
    assert (line.charge, line.planes) == (1, 17)
    assert line.share > 0.9
    assert line.distance < 0.05
    assert seen.failed() == []


@pytest.mark.parametrize("twin", [False, True])
def test_a_line_that_winds_the_other_way_fails(truth, tmp_path, twin):
    assert Seen(truth, tmp_path, twin=twin).add(along_z(), -1).failed() == ["charge over the true"]


def test_a_line_drawn_backwards_is_the_same_line(truth, tmp_path):
    assert Seen(truth, tmp_path).add(along_z()[::-1], -1).failed() == []


def test_a_line_found_in_half_of_its_planes_fails(truth, tmp_path):
    seen = Seen(truth, tmp_path).add(along_z(-330, 10), 1)
    assert score_dislocations.held(seen)[0].share == pytest.approx(0.5, abs=0.1)
    assert seen.failed() == ["share of the planes of its grain it is found in"]


@pytest.mark.parametrize(("away", "found"), [(1.8, True), (2.2, False)])
def test_two_voxels_are_as_far_as_it_may_be(truth, tmp_path, away, found):
    (line,) = score_dislocations.held(Seen(truth, tmp_path).add(along_z(away=-away * COARSE), 1))
    assert (line.share > 0.9) == found
    assert (line.charge == 1) == found


def test_a_second_line_deep_in_a_grain_is_false_and_one_on_a_boundary_is_not(truth, tmp_path):
    seen = Seen(truth, tmp_path).add(along_z(), 1)
    assert score_dislocations.false_vortices(seen.add(along_z(away=110.0), 1)) == 0  # on the boundary
    assert score_dislocations.false_vortices(seen.add(along_z(away=110.0 + 90.0), 1)) == 0  # less than 100 nm from it
    assert score_dislocations.false_vortices(seen.add(along_z(away=110.0 + 200.0), 1)) == 1
    assert seen.failed() == ["false vortices inside a grain"]


def test_nothing_found_is_a_failure_and_no_table_is_missing(truth, tmp_path):
    seen = Seen(truth, tmp_path)
    assert len(seen.failed()) == 3
    assert score_dislocations.held(seen)[0].share == 0
    seen.axes = {}
    rows = list(score_dislocations.rows(seen))
    assert {row["measured"] for row in rows} == {ABSENT}


def test_only_false_lines_are_asked_of_a_perfect_crystal(truth, tmp_path):
    class Perfect(Truth):
        def __getitem__(self, path):
            values = super().__getitem__(path)
            return values[:0] if path.startswith("dislocations/") else values

    perfect = Perfect(truth.file)
    assert Seen(perfect, tmp_path).failed() == []
    assert Seen(perfect, tmp_path).add(along_z(), 1).failed() == ["false vortices inside a grain"]
