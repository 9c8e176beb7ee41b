"""One clock and one frame for the scans of an experiment."""

import numpy as np
import pytest
import xarray as xr

from xcdi.errors import XcdiError
from xcdi.stages.clock import clock, frame, seconds_between, timed


def scan(name, start=None):
    return xr.Dataset(attrs={"scan": name, "beamline": "here"} | ({"start_time": start} if start else {}))


@pytest.mark.parametrize(
    ("rocking", "seconds"), [("2026-05-04T10:00:00Z", -90.0), ("2026-05-04T12:01:30+02:00", 0.0), ("2026-05-04T10:01:00", -30.0)]
)
def test_frame_0_of_the_rocking_scan_stands_on_the_clock_of_the_series(rocking, seconds):
    found = clock(scan("p_rocking", rocking), scan("p_series", "2026-05-04T10:01:30Z"))
    assert found["rocking_frame_0_s"] == seconds
    assert "'p_series', which began 2026-05-04T10:01:30Z" in found["clock"]
    assert "warning" not in found


def test_a_crystal_imaged_after_the_series_began_is_warned_of():
    found = clock(scan("r", "2026-05-04T10:10:00"), scan("s", "2026-05-04T10:00:00"))
    assert "began 600 s after the series" in found["warning"]


@pytest.mark.parametrize("start", [None, "yesterday"])
def test_what_no_file_tells_is_not_guessed(start):
    found = clock(scan("r", start), scan("s", "2026-05-04T10:00:00"))
    assert "rocking_frame_0_s" not in found
    assert found["series_start"] == "2026-05-04T10:00:00"


def test_shifting_both_scans_shifts_nothing():
    starts = [("2026-05-04T10:00:00", "2026-05-04T10:02:00"), ("2027-01-01T23:59:00", "2027-01-02T00:01:00")]
    assert len({clock(scan("r", one), scan("s", other))["rocking_frame_0_s"] for one, other in starts}) == 1


def test_the_angle_of_the_series_is_from_the_middle_of_the_rocking_scan():
    peak = xr.Dataset({"rocking": ("frame", np.linspace(10.0, 10.6, 7))}, attrs={"rocking_motor": "eta"})
    found = frame(peak, 1.5)
    assert found["series_angle_deg"] == pytest.approx(0.15)
    assert "eta as in the middle" in found["frame"]


def test_a_series_without_times_names_itself_its_beamline_and_the_place():
    with pytest.raises(XcdiError, match=r"'p_series' has no frame times by beamline 'here'.*frame_time"):
        timed(scan("p_series"))


def test_a_time_without_a_zone_is_utc_beside_one_that_has_it():
    assert seconds_between("2026-05-04T10:00:00Z", "2026-05-04T10:05:00") == 300
    assert seconds_between("2026-05-04T12:00:00+02:00", "2026-05-04T10:05:00Z") == 300
    assert seconds_between(None, "2026-05-04T10:05:00Z") is None
