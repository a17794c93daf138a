"""Where shared limiters and breakers live: a file for each, in a folder of the user's or at a path."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, TypeAlias

from sluicegate import _native
from sluicegate._errors import BackendError, ConfigurationError

Shared: TypeAlias = str | os.PathLike[str]
"""A name in the user's folder, or a path: a str with a separator, or a `PathLike`."""

BACKEND = "shared memory"
FOLDER = "SLUICEGATE_SHARED"
"""The environment variable that names another folder for all names."""

_MEMORY = Path("/dev/shm")  # noqa: S108 - the folder made in it is the user's alone
_LONGEST_NAME = 200


def folder() -> Path:
    """Say where names live: the same folder for every process of this user.

    `$SLUICEGATE_SHARED` where that is set, else a folder of the user's own in the machine's shared memory, or
    in the user's runtime folder where there is no such memory.
    """
    chosen = os.environ.get(FOLDER)
    if chosen:
        return Path(chosen)
    if _MEMORY.is_dir():
        return _MEMORY / f"sluicegate-{os.geteuid()}"
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if not runtime:
        from tempfile import gettempdir  # noqa: PLC0415 - slow to load, and not wanted elsewhere

        runtime = gettempdir()
    return Path(runtime) / f"sluicegate-{os.geteuid()}"


def locate(shared: Shared) -> Path:
    """Say which file a name or a path means.

    Raises:
        ConfigurationError: It is neither.
    """
    if not isinstance(shared, str | os.PathLike):
        raise TypeError(f"shared must be a name or a path, not {shared!r}")
    text = os.fspath(shared)
    is_path = not isinstance(shared, str) or os.sep in text
    if not text or "\0" in text or (not is_path and (text.startswith(".") or len(text) > _LONGEST_NAME)):
        message = (
            f"shared must be a path, or a name of 1 to {_LONGEST_NAME} characters without a dot at its "
            f"beginning, not {shared!r}"
        )
        raise ConfigurationError(message, field="shared", value=shared)
    return Path(text) if is_path else folder() / text


def prepare(shared: Shared) -> Path:
    """Say which file it is, and make the folder of names where it is missing.

    Raises:
        BackendError: The folder cannot be made, or is open to others, who might have put anything there.
    """
    path = locate(shared)
    if path.parent == folder() and not os.environ.get(FOLDER):
        try:
            path.parent.mkdir(mode=0o700, exist_ok=True)
            found = path.parent.lstat()
        except OSError as error:
            raise BackendError(f"cannot share {shared!r}: {error}", backend=BACKEND) from error
        if found.st_uid != os.geteuid() or found.st_mode & 0o077:
            message = (
                f"cannot share {shared!r}: the folder {path.parent} must be its owner's alone; give it "
                f"mode 0700, or name another folder with {FOLDER}"
            )
            raise BackendError(message, backend=BACKEND)
    return path


def adopt_config(path: Path, wanted: str) -> dict[str, Any] | None:
    """Read the configuration of the segment at `path`; None where there is none to adopt.

    Raises:
        ConfigurationError: It is of another kind than `wanted`.
        BackendError: It is damaged or foreign.
    """
    found = _native.inspect_segment(path)
    if found is None:
        return None
    kind, config = found
    if kind != wanted:
        message = f"cannot share {path}: it holds a {kind}, not a {wanted}"
        raise ConfigurationError(message, field="shared", value=str(path))
    adopted: dict[str, Any] = json.loads(config)
    return adopted


def canonical(config: dict[str, Any]) -> bytes:
    """Write a configuration so that equal ones are equal bytes."""
    return json.dumps(config, sort_keys=True, separators=(",", ":")).encode()


class Sharing:
    """What a limiter that may be shared adds: a copy in another process is the same limiter."""

    __slots__ = ()

    _name: str
    _clock: Any
    _path: Path | None

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle a shared one as its place; one of a process alone cannot leave it."""
        kind = type(self).__name__
        if self._path is None:
            raise TypeError(f"cannot pickle a {kind} of this process alone: share it with shared='name'")
        if not isinstance(self._clock, _native.MonotonicClock):
            raise TypeError(f"cannot pickle a {kind} with a clock of its own")
        return _attach, (type(self), self._name, str(self._path.absolute()))


def _attach(kind: Any, name: str, path: str) -> Any:
    return kind(name=name, shared=path, adopt=True)
