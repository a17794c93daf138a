"""What operators see and remove: the segments of this user."""

import os

import pytest

from sluicegate import BackendError, CircuitBreaker, KeyedRateLimiter, RateLimiter, _shared, shared


def test_segments_are_listed_by_name():
    assert shared.list() == []
    RateLimiter("10/s", shared="api")
    CircuitBreaker(shared="search")
    KeyedRateLimiter("1/s", max_keys=10, shared="users")
    found = shared.list()
    assert [(segment.name, segment.kind) for segment in found] == [
        ("api", "limiter"),
        ("search", "breaker"),
        ("users", "keyed limiter"),
    ]
    assert found[0].config == {"quotas": [["10", "1", 10]]}
    assert found[0].size == found[0].path.stat().st_size


def test_a_damaged_segment_is_listed_with_what_is_wrong(segments):
    (segments / "api").write_text("somebody's letters")
    (found,) = shared.list()
    assert (found.kind, found.name) == ("", "api")
    assert "no segment" in found.problem


def test_an_unlinked_segment_is_made_anew(clock):
    before = RateLimiter("10/s", shared="api", clock=clock)
    assert before.try_acquire(10)
    shared.unlink("api")
    assert RateLimiter("20/s", shared="api", clock=clock).try_acquire(20)
    assert not before.try_acquire()


def test_what_killed_processes_left_goes_with_it(segments):
    RateLimiter("10/s", shared="api")
    (segments / ".api.4711.0").write_text("half made")
    shared.unlink("api")
    assert list(segments.iterdir()) == []


def test_unlinking_what_is_not_there_says_so():
    with pytest.raises(FileNotFoundError):
        shared.unlink("api")


def test_a_strangers_file_is_not_removed(tmp_path):
    letters = tmp_path / "letters" / "mine"
    letters.parent.mkdir()
    letters.write_text("somebody's letters")
    with pytest.raises(BackendError, match="no segment"):
        shared.unlink(letters)
    assert letters.exists()


def test_names_live_in_a_folder_that_is_its_owners_alone(monkeypatch, tmp_path):
    monkeypatch.delenv(_shared.FOLDER)
    monkeypatch.setattr(_shared, "_MEMORY", tmp_path)
    RateLimiter("10/s", shared="api")
    folder = tmp_path / f"sluicegate-{os.geteuid()}"
    assert folder.stat().st_mode & 0o777 == 0o700
    folder.chmod(0o777)
    with pytest.raises(BackendError, match="0700"):
        RateLimiter("10/s", shared="api")
