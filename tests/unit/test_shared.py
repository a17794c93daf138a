"""Where names of shared limiters and breakers live, and what is refused."""

import os
import pickle
from pathlib import Path

import pytest

from sluicegate import BackendError, RateLimiter, _shared
from sluicegate.testing import ManualClock


@pytest.fixture
def memory(monkeypatch, tmp_path):
    """The machine's shared memory, which is a folder of this test's; none is named by the environment."""
    monkeypatch.delenv(_shared.FOLDER, raising=False)
    monkeypatch.setattr(_shared, "_MEMORY", tmp_path / "memory")
    return tmp_path / "memory"


def test_names_live_in_a_folder_of_the_users_own_in_shared_memory(memory):
    memory.mkdir()
    path = _shared.prepare("a name")
    assert path == memory / f"sluicegate-{os.geteuid()}" / "a name"
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_without_shared_memory_names_live_in_the_users_runtime_folder(memory, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "runtime"))
    assert _shared.folder() == tmp_path / "runtime" / f"sluicegate-{os.geteuid()}"


def test_without_either_names_live_in_the_folder_for_temporary_files(memory, monkeypatch, tmp_path):
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert _shared.folder() == tmp_path / f"sluicegate-{os.geteuid()}"


def test_a_folder_that_cannot_be_made_is_a_backend_error_that_names_the_limiter(
    memory, monkeypatch, tmp_path
):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "missing"))
    with pytest.raises(BackendError, match="cannot share 'a name': "):
        RateLimiter("10/s", shared="a name")


def test_a_folder_that_others_may_write_to_is_refused(memory):
    memory.mkdir()
    folder = _shared.folder()
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(BackendError, match=f"the folder {folder} must be its owner's alone"):
        RateLimiter("10/s", shared="a name")
    assert list(folder.iterdir()) == []


def test_what_is_neither_name_nor_path_is_a_type_error():
    with pytest.raises(TypeError, match="shared must be a name or a path, not 7"):
        RateLimiter("10/s", shared=7)


def test_a_shared_limiter_with_a_clock_of_its_own_cannot_be_pickled(tmp_path):
    limiter = RateLimiter("10/s", shared=Path(tmp_path / "limiter"), clock=ManualClock())
    with pytest.raises(TypeError, match="cannot pickle a RateLimiter with a clock of its own"):
        pickle.dumps(limiter)
