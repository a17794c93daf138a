"""What every test of the application has: a folder for its runs that is not the user's."""

import pytest


@pytest.fixture(autouse=True)
def _a_data_folder_of_its_own(monkeypatch, tmp_path_factory):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path_factory.mktemp("data")))
