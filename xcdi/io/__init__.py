"""The only doors for files: raw scans in, results out and in again."""

from __future__ import annotations

import os

os.environ.setdefault("HDF5_PLUGIN_PRELOAD", "::")  # no filter is loaded from a path in the environment; must precede h5py

import hdf5plugin  # noqa: F401  (registers its filters)

from xcdi.io.results import load, provenance, provenance_of, save, settings_of
from xcdi.io.scans import follow, list_scans, new_scans, open_scan

__all__ = ["follow", "list_scans", "load", "new_scans", "open_scan", "provenance", "provenance_of", "save", "settings_of"]
