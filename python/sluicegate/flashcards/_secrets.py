"""The key: held so that it is never shown by accident, and cut out of whatever the far side says."""

from __future__ import annotations

from typing import final

from sluicegate import ConfigurationError

_REDACTED = "[redacted]"


@final
class ApiKey:
    """A key that shows itself only when asked by `reveal`.

    Args:
        text: the key; blanks around it are dropped.

    Raises:
        ConfigurationError: the key could not travel in a header; the error does not hold it.

    Examples:
        >>> key = ApiKey("sk-secret")
        >>> key, str(key)
        (ApiKey('***'), '***')
        >>> key.redact("Incorrect API key provided: sk-secret.")
        'Incorrect API key provided: [redacted].'
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        stripped = text.strip()
        if not stripped or not all("!" <= character <= "~" for character in stripped):
            raise ConfigurationError(
                "the API key must be printable ASCII without blanks", field="api_key", value="***"
            )
        self._text = stripped

    def reveal(self) -> str:
        """Return the key itself, for the one header that carries it."""
        return self._text

    def redact(self, text: str) -> str:
        """Return `text` without the key."""
        return text.replace(self._text, _REDACTED)

    def __repr__(self) -> str:
        return "ApiKey('***')"

    def __str__(self) -> str:
        return "***"

    def __format__(self, specification: str) -> str:
        return format(str(self), specification)

    def __reduce__(self) -> str:
        raise TypeError("a key is not pickled")
