"""Every notebook runs from top to bottom."""

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))
SMALLER = ('profile="nano"', 'profile="pico"')
STARTS = re.compile(r"""(starts"?\s*[=:]\s*)\d+""")  # of the phasing


def run(notebook, folder):
    NotebookClient(notebook, timeout=400, kernel_name="python3", resources={"metadata": {"path": str(folder)}}).execute()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the notebook machinery, not of xcdi
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_every_cell_runs_on_a_smaller_particle(path, tmp_path, monkeypatch):
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        monkeypatch.setenv(name, "1")  # the threads of BLAS would only fight the two workers
    notebook = nbformat.read(path, as_version=4)
    stored = "\0".join(cell.source for cell in notebook.cells)
    smaller = STARTS.sub(r"\g<1>2", stored.replace(*SMALLER))
    assert stored.count(SMALLER[0]) == 1
    assert STARTS.search(stored)
    for cell, source in zip(notebook.cells, smaller.split("\0"), strict=True):
        cell.source = source
    run(notebook, tmp_path)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the notebook machinery, not of xcdi
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_the_notebook_runs_as_it_is_stored(path, tmp_path):
    run(nbformat.read(path, as_version=4), tmp_path)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_the_notebook_is_stored_without_output(path):
    cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    assert cells
    assert not any(cell.outputs for cell in cells)
