"""Check that a source distribution holds what a build needs, and nothing that a build leaves."""

import sys
import tarfile
from pathlib import PurePosixPath

NEEDED = {
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "PKG-INFO",
    "README.md",
    "pyproject.toml",
    "python/sluicegate/_native.pyi",
    "python/sluicegate/flashcards/store/migrations/env.py",
    "python/sluicegate/flashcards/store/migrations/versions/r0001_runs.py",
    "python/sluicegate/py.typed",
    "rust/core/src/lib.rs",
    "rust/py/src/lib.rs",
}
LEFTOVERS = {".so", ".pyc", ".pyd", ".lock"}


def main(path: str) -> None:
    """List the archive at `path` and hold it against both."""
    with tarfile.open(path) as archive:
        files = [PurePosixPath(*PurePosixPath(name).parts[1:]) for name in archive.getnames()]
    missing = NEEDED - {str(file) for file in files}
    assert not missing, missing
    leftovers = [file for file in files if file.suffix in LEFTOVERS and file.name != "Cargo.lock"]
    assert not leftovers, leftovers
    print(f"{len(files)} files, none missing, no leftovers")


if __name__ == "__main__":
    main(sys.argv[1])
