"""Who a request is from, and who it is not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluicegate import ConfigurationError
from sluicegate.integrations.keys import ClientAddress, HeaderKey, UserKey


def scope(peer: str | None, *forwarded: str) -> dict:
    client = None if peer is None else (peer, 4000)
    return {"client": client, "headers": [(b"x-forwarded-for", value.encode()) for value in forwarded]}


def environ(peer: str | None, *forwarded: str) -> dict:
    request = {"wsgi.version": (1, 0), "REMOTE_ADDR": peer or ""}
    return {**request, "HTTP_X_FORWARDED_FOR": ",".join(forwarded)} if forwarded else request


CASES = [
    # the header of a stranger is not read
    ("198.51.100.4", ["6.6.6.6"], "198.51.100.4"),
    # nor what stands before the last address that is no proxy
    ("10.0.0.1", ["6.6.6.6, 203.0.113.7"], "203.0.113.7"),
    ("10.0.0.1", ["6.6.6.6, 203.0.113.7, 10.0.0.9"], "203.0.113.7"),
    ("10.0.0.1", ["6.6.6.6", "203.0.113.7"], "203.0.113.7"),
    # a proxy alone, or one that hands on nonsense
    ("10.0.0.1", [], "10.0.0.1"),
    ("10.0.0.1", ["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
    ("10.0.0.1", ["203.0.113.7, garbage, 10.0.0.2"], "10.0.0.2"),
    ("10.0.0.1", [""], "10.0.0.1"),
    # ports, brackets and zones
    ("10.0.0.1", ["203.0.113.7:4711"], "203.0.113.7"),
    ("10.0.0.1", ["[2001:db8:1:2:3:4:5:6]:443"], "2001:db8:1:2::/64"),
    ("fe80::1%eth0", [], "fe80::/64"),
    # one subscriber has a network of IPv6; IPv4 in the dress of IPv6 is IPv4
    ("2001:db8:1:2:3:4:5:6", [], "2001:db8:1:2::/64"),
    ("::ffff:198.51.100.4", [], "198.51.100.4"),
    ("::ffff:10.0.0.1", ["203.0.113.7"], "203.0.113.7"),
    (None, ["203.0.113.7"], "unknown"),
]


@pytest.mark.parametrize("request_of", [scope, environ])
@pytest.mark.parametrize(("peer", "forwarded", "key"), CASES)
def test_the_address_is_the_last_one_that_is_no_trusted_proxy(request_of, peer, forwarded, key):
    assert ClientAddress(["10.0.0.0/8"])(request_of(peer, *forwarded)) == key


def test_a_unix_socket_may_be_trusted():
    assert ClientAddress(["unix"])(scope(None, "203.0.113.7")) == "203.0.113.7"
    assert ClientAddress(["unix"])(scope(None)) == "unknown"


def test_a_chain_of_proxies_is_looked_at_to_a_bound():
    chain = ["203.0.113.7", *["10.0.0.2"] * 100_000]
    assert ClientAddress(["10.0.0.0/8"])(scope("10.0.0.1", ", ".join(chain))) == "10.0.0.2"


@given(st.text(st.characters(max_codepoint=255)))
def test_no_header_can_fail_or_be_taken_for_more_than_an_address(value):
    request = {"client": ("10.0.0.1", 1), "headers": [(b"x-forwarded-for", value.encode("latin-1"))]}
    assert len(ClientAddress(["10.0.0.0/8"])(request)) <= 64


@pytest.mark.parametrize(
    ("proxies", "field"), [(["10.0.0.0/33"], "trusted_proxies"), ("load-balancer", "trusted_proxies")]
)
def test_a_proxy_that_is_no_network_is_refused(proxies, field):
    with pytest.raises(ConfigurationError, match="networks") as caught:
        ClientAddress(proxies)
    assert caught.value.field == field


@pytest.mark.parametrize("prefix", [0, 129])
def test_a_prefix_out_of_range_is_refused(prefix):
    with pytest.raises(ConfigurationError, match=str(prefix)):
        ClientAddress(ipv6_prefix=prefix)


def test_a_header_is_found_in_any_case_and_its_absence_stood_in_for():
    assert HeaderKey("X-API-Key")({"headers": [(b"X-Api-Key", b"k1")]}) == "k1"
    assert HeaderKey("X-API-Key")({"wsgi.version": (1, 0), "HTTP_X_API_KEY": "k1"}) == "k1"
    assert HeaderKey("X-API-Key")({"headers": [(b"x-api-key", b"")]}) is None
    assert HeaderKey("X-API-Key", otherwise=ClientAddress())(scope("192.0.2.1")) == "192.0.2.1"


class User:
    """As of Starlette's authentication."""

    def __init__(self, name: str, is_authenticated: bool, has_identity: bool = True) -> None:
        self.display_name = name
        self.is_authenticated = is_authenticated
        self._has_identity = has_identity

    @property
    def identity(self) -> str:
        if not self._has_identity:
            raise NotImplementedError
        return f"id-{self.display_name}"


@pytest.mark.parametrize(
    ("user", "key"),
    [
        (User("mina", True), "id-mina"),
        (User("mina", True, has_identity=False), "mina"),
        (User("", False), None),
        (None, None),
    ],
)
def test_a_user_is_known_by_identity_once_authenticated(user, key):
    assert UserKey()({"user": user}) == key


def test_nobody_is_stood_in_for():
    assert UserKey(otherwise=ClientAddress())(scope("192.0.2.1")) == "192.0.2.1"
    assert UserKey(otherwise=ClientAddress())(environ("192.0.2.1")) == "192.0.2.1"
