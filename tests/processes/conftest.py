"""A folder for the segments of one test."""

import pytest

from sluicegate._shared import FOLDER


@pytest.fixture(autouse=True)
def segments(tmp_path, monkeypatch):
    """Names live in a folder of the test's own, for its children as well."""
    monkeypatch.setenv(FOLDER, str(tmp_path))
    return tmp_path
