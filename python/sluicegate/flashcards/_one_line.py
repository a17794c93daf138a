"""What goes wrong, told in one line that any terminal may show."""

from __future__ import annotations

from ._secrets import ApiKey

MAX_SHOWN = 300
"""The longest text of the far side that is shown, in characters."""


def shown(text: str, key: ApiKey | None = None) -> str:
    r"""Return foreign text fit for one line of a terminal: no key, no control characters, not too long.

    The key goes first, since what is cut in two is no longer found.

    Examples:
        >>> shown("no\x1b[31m credit\n left")
        'no [31m credit left'
    """
    if key is not None:
        text = key.redact(text)
    line = " ".join("".join(character if character.isprintable() else " " for character in text).split())
    return line if len(line) <= MAX_SHOWN else line[: MAX_SHOWN - 1] + "…"


def os_reason(error: OSError) -> str:
    """Return why the system refused, without the name of what it refused.

    Examples:
        >>> os_reason(FileNotFoundError(2, "No such file or directory", "cards.tsv"))
        'no such file or directory'
    """
    reason = error.strerror or str(error)
    return reason[:1].lower() + reason[1:]
