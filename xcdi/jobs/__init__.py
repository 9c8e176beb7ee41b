"""One scan, many scans, a growing scan: what the command line runs."""

from __future__ import annotations

from xcdi.jobs.job import Job, Outcome
from xcdi.jobs.landing import follow_scans
from xcdi.jobs.live import Update, watch
from xcdi.jobs.making import make_job
from xcdi.jobs.many import run_many
from xcdi.jobs.one import run_job

__all__ = ["Job", "Outcome", "Update", "follow_scans", "make_job", "run_job", "run_many", "watch"]
