"""The `Forwarded` header of RFC 7239: who each proxy was called by."""

from __future__ import annotations

import re

LONGEST = 8_192
"""Characters of the header that are read at all: what most servers take; a longer one says nothing."""

_WORD = r"[\w!#$%&'*+.^`|~:\[\]-]+"
_QUOTED = r'"(?:[^"\\]|\\.)*"'
# Blanks around `;` are not in the grammar, but are met.
_PAIR = re.compile(rf"[ \t]*(?:([\w!#$%&'*+.^`|~-]+)=({_WORD}|{_QUOTED}))?[ \t]*", re.ASCII)
_ESCAPED = re.compile(r"\\(.)")


def forwarded_for(text: str) -> list[str]:
    """Return the `for` of each element, in their order; an empty text where it has none, or two.

    IPv6 is written in brackets and quotes; as lenient servers do, a port or brackets without quotes are read.
    A header that is no list of elements means nothing, whole.

    Example:
        >>> forwarded_for('for=192.0.2.60;proto=http, For="[2001:db8::1]:4711", for=_hidden, by=10.0.0.1')
        ['192.0.2.60', '[2001:db8::1]:4711', '_hidden', '']
        >>> forwarded_for('for=192.0.2.60, for="never closed')
        []
    """
    if len(text) > LONGEST:
        return []
    elements: list[dict[str, list[str]]] = [{}]
    position = 0
    while True:
        match = _PAIR.match(text, position)
        if match is None:
            return []
        name, value = match.groups()
        if name:
            elements[-1].setdefault(name.lower(), []).append(_plain(value))
        position = match.end()
        if position == len(text):
            break
        if text[position] == ",":
            elements.append({})
        elif text[position] != ";":
            return []
        position += 1
    return ["".join(given) if len(given := one.get("for", [])) == 1 else "" for one in elements if one]


def _plain(value: str) -> str:
    return _ESCAPED.sub(r"\1", value[1:-1]) if value.startswith('"') else value
