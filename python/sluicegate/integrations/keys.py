"""Who sends a request: what a keyed limiter tells callers apart by, for ASGI and WSGI alike.

A key function takes the ASGI scope or the WSGI environ and returns a key, or None for a request that is not
to be limited. Any function will do; these are the usual ones.
"""

from __future__ import annotations

import functools
import ipaddress
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

from sluicegate._errors import ConfigurationError
from sluicegate.integrations._forwarded import forwarded_for

__all__ = ["ClientAddress", "HeaderKey", "KeyFunction", "UserKey"]

KeyFunction: TypeAlias = "Callable[[Mapping[str, Any]], str | bytes | int | None]"
"""Makes the key of a request, of its ASGI scope or its WSGI environ."""

_Network: TypeAlias = "ipaddress.IPv4Network | ipaddress.IPv6Network"
_Address: TypeAlias = "ipaddress.IPv4Address | ipaddress.IPv6Address"

_MOST_HOPS = 32
"""Proxies that a request may have come through; whatever was claimed before them is not looked at."""

_NOBODY = "unknown"
"""The key of a peer without an address, such as one behind a Unix socket that is not trusted."""


class ClientAddress:
    """Tells callers apart by address, which for IPv6 is the network that one household or machine has.

    The address is that of the connection. Only where that belongs to a proxy you trust is the header read
    that your proxies write, from its end: the last address that is no trusted proxy is the client's. What
    stands before it was written by the client, and is never believed. An entry that is no address ends the
    search: the proxy that handed it on is the key. The other header is never read, since whoever writes only
    one of them hands the other on as the client sent it.

    Args:
        trusted_proxies: Addresses or networks ("10.0.0.0/8") of your own proxies, and "unix" for whatever
            connects through a Unix socket.
        ipv6_prefix: How many leading bits of an IPv6 address count, since one subscriber has 2^64 of them.
        header: Which header your proxies write: "x-forwarded-for", or "forwarded", the standard one
            (RFC 7239).

    Raises:
        ConfigurationError: A proxy is no network, `ipv6_prefix` is not from 1 to 128, or `header` is neither.

    Example:
        >>> key = ClientAddress(trusted_proxies=["10.0.0.0/8"])
        >>> forwarded = (b"x-forwarded-for", b"6.6.6.6, 203.0.113.7, 10.0.0.2")
        >>> key({"client": ("10.0.0.1", 5000), "headers": [forwarded]})
        '203.0.113.7'
        >>> key({"client": ("198.51.100.4", 5000), "headers": [forwarded]})
        '198.51.100.4'
    """

    def __init__(
        self,
        trusted_proxies: Iterable[str] = (),
        *,
        ipv6_prefix: int = 64,
        header: str = "x-forwarded-for",
    ) -> None:
        if isinstance(trusted_proxies, str):
            trusted_proxies = [trusted_proxies]
        proxies = list(trusted_proxies)
        if not 1 <= ipv6_prefix <= 128:
            message = f"ipv6_prefix must be from 1 to 128, not {ipv6_prefix}"
            raise ConfigurationError(message, field="ipv6_prefix", value=ipv6_prefix)
        if header.lower() not in ("x-forwarded-for", "forwarded"):
            message = f"header must be 'x-forwarded-for' or 'forwarded', not {header!r}"
            raise ConfigurationError(message, field="header", value=header)
        self._is_standard = header.lower() == "forwarded"
        self._trusts_unix = "unix" in proxies
        self._trusted = tuple(_network(proxy) for proxy in proxies if proxy != "unix")
        self._ipv6_prefix = ipv6_prefix
        self._key_of = functools.lru_cache(maxsize=4096)(self._grouped)
        self._is_trusted = functools.lru_cache(maxsize=4096)(self._belongs)

    def __call__(self, request: Mapping[str, Any]) -> str:
        """Return the key of the client."""
        peer = _peer(request)
        if peer is None:
            if not self._trusts_unix:
                return _NOBODY
            nearest = _NOBODY
        elif self._trusted and self._is_trusted(peer):
            nearest = peer
        else:
            return self._key_of(peer)
        for hop in self._hops(request):
            address = _address(hop)
            if address is None:
                break
            nearest = str(address)
            if not self._is_trusted(nearest):
                break
        return self._key_of(nearest)

    def _hops(self, request: Mapping[str, Any]) -> list[str]:
        """Return what the proxies say they were called by, the nearest first."""
        if self._is_standard:
            return forwarded_for(",".join(_header(request, "forwarded")))[: -_MOST_HOPS - 1 : -1]
        hops = ",".join(_header(request, "x-forwarded-for")).rsplit(",", _MOST_HOPS)
        return hops[: -_MOST_HOPS - 1 : -1]

    def _belongs(self, text: str) -> bool:
        address = _address(text)
        return address is not None and any(address in network for network in self._trusted)

    def _grouped(self, text: str) -> str:
        address = _address(text)
        if address is None:
            return text
        if address.version == 6:
            return str(ipaddress.ip_network((address, self._ipv6_prefix), strict=False))
        return str(address)


class HeaderKey:
    """Tells callers apart by a header such as `x-api-key`; those without it by something else.

    Anyone can send any header: check the key before you count by it, or leave the address as another limit.

    Args:
        name: The header's name, in any case.
        otherwise: The key of requests without it; None leaves them unlimited.

    Example:
        >>> key = HeaderKey("X-API-Key", otherwise=lambda request: "anonymous")
        >>> key({"headers": [(b"x-api-key", b"k1")]}), key({"headers": []})
        ('k1', 'anonymous')
    """

    def __init__(self, name: str, *, otherwise: KeyFunction | None = None) -> None:
        self._name = name.lower()
        self._otherwise = otherwise

    def __call__(self, request: Mapping[str, Any]) -> str | bytes | int | None:
        """Return the header's value, or what stands for its absence."""
        values = _header(request, self._name)
        if values and values[0]:
            return values[0]
        return None if self._otherwise is None else self._otherwise(request)


class UserKey:
    """Tells callers apart by who is logged in, as the middleware outside of this one found.

    Reads `scope["user"]` (Starlette's authentication) by its `identity`, else its `display_name`, and
    `REMOTE_USER` of a WSGI environ.

    Args:
        otherwise: The key of requests of nobody; None leaves them unlimited.

    Example:
        >>> UserKey()({"wsgi.version": (1, 0), "REMOTE_USER": "mina"})
        'mina'
    """

    def __init__(self, *, otherwise: KeyFunction | None = None) -> None:
        self._otherwise = otherwise

    def __call__(self, request: Mapping[str, Any]) -> str | bytes | int | None:
        """Return the user's name, or what stands for nobody."""
        user = request.get("REMOTE_USER") if "wsgi.version" in request else _identity(request.get("user"))
        if user:
            return str(user)
        return None if self._otherwise is None else self._otherwise(request)


def _identity(user: Any) -> object:
    if user is None or not getattr(user, "is_authenticated", False):
        return None
    try:
        return user.identity
    except (AttributeError, NotImplementedError):
        return getattr(user, "display_name", None)


def _peer(request: Mapping[str, Any]) -> str | None:
    """Return the address that the connection came from, None where it has none."""
    if "wsgi.version" in request:
        return request.get("REMOTE_ADDR") or None
    client = request.get("client")
    return client[0] if client and client[0] else None


def _header(request: Mapping[str, Any], name: str) -> list[str]:
    """Return the values of a header, in their order."""
    if "wsgi.version" in request:
        value = request.get(f"HTTP_{name.upper().replace('-', '_')}")
        return [] if value is None else [value]
    wanted = name.encode("latin-1")
    return [value.decode("latin-1") for field, value in request.get("headers", ()) if field.lower() == wanted]


def _network(text: str) -> _Network:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError as error:
        message = f"trusted_proxies takes addresses, networks and 'unix', not {text!r}: {error}"
        raise ConfigurationError(message, field="trusted_proxies", value=text) from None


@functools.lru_cache(maxsize=4096)
def _address(text: str) -> _Address | None:
    """Read an address with or without a port, brackets and zone; IPv4 in the dress of IPv6 is IPv4."""
    text = text.strip().strip('"')
    if len(text) > 64:
        return None
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
