"""A small Eiger scan, new for every test."""

import pytest
from scanfiles import make_eiger


@pytest.fixture
def eiger(tmp_path):
    return make_eiger(tmp_path)
