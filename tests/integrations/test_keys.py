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


def standard(peer: str, *values: str) -> dict:
    return {"client": (peer, 4000), "headers": [(b"forwarded", value.encode()) for value in values]}


def standard_environ(peer: str, *values: str) -> dict:
    return {"wsgi.version": (1, 0), "REMOTE_ADDR": peer, "HTTP_FORWARDED": ",".join(values)}


FORWARDED = [
    ("198.51.100.4", ["for=6.6.6.6"], "198.51.100.4"),
    ("10.0.0.1", ["for=6.6.6.6, for=203.0.113.7"], "203.0.113.7"),
    ("10.0.0.1", ["for=6.6.6.6", "for=203.0.113.7;proto=https;by=10.0.0.2", "for=10.0.0.9"], "203.0.113.7"),
    ("10.0.0.1", ['By=x; For="203.0.113.7:4711" ;host="a,b;for=6.6.6.6"'], "203.0.113.7"),
    ("10.0.0.1", ['For="[2001:db8:1:2:3:4:5:6]:443"'], "2001:db8:1:2::/64"),
    ("10.0.0.1", ["for=2001:db8:1:2:3:4:5:6"], "2001:db8:1:2::/64"),
    ("10.0.0.1", ['for="203.0.113\\.7"'], "203.0.113.7"),
    # who is hidden or unknown ends the search, as does an element without a `for`, or one that has two
    ("10.0.0.1", ["for=203.0.113.7, for=_hidden, for=10.0.0.2"], "10.0.0.2"),
    ("10.0.0.1", ["for=203.0.113.7, for=unknown"], "10.0.0.1"),
    ("10.0.0.1", ["for=203.0.113.7, proto=https"], "10.0.0.1"),
    ("10.0.0.1", ["for=203.0.113.7;for=203.0.113.8"], "10.0.0.1"),
    # an empty element is none; what cannot be read means nothing, whole
    ("10.0.0.1", ["for=203.0.113.7, ,"], "203.0.113.7"),
    ("10.0.0.1", ['for="203.0.113.7'], "10.0.0.1"),
    ("10.0.0.1", ["for=6.6.6.6, 203.0.113.7"], "10.0.0.1"),
    ("10.0.0.1", [""], "10.0.0.1"),
]


@pytest.mark.parametrize("request_of", [standard, standard_environ])
@pytest.mark.parametrize(("peer", "forwarded", "key"), FORWARDED)
def test_the_standard_header_is_read_like_the_other_where_one_asks_for_it(request_of, peer, forwarded, key):
    assert ClientAddress(["10.0.0.0/8"], header="Forwarded")(request_of(peer, *forwarded)) == key


def test_only_the_header_that_the_proxies_write_is_believed():
    request = scope("10.0.0.1", "203.0.113.7")
    request["headers"].append((b"forwarded", b"for=6.6.6.6"))
    assert ClientAddress(["10.0.0.0/8"])(request) == "203.0.113.7"
    assert ClientAddress(["10.0.0.0/8"], header="forwarded")(request) == "6.6.6.6"


def test_a_chain_of_the_standard_header_is_looked_at_to_a_bound():
    elements = ["for=203.0.113.7", *["for=10.0.0.2"] * 40]
    key = ClientAddress(["10.0.0.0/8"], header="forwarded")
    assert key(standard("10.0.0.1", ", ".join(elements))) == "10.0.0.2"
    assert (
        key(standard("10.0.0.1", ", ".join(["for=203.0.113.7", *["for=10.0.0.2"] * 100_000]))) == "10.0.0.1"
    )


@given(
    st.text(st.characters(max_codepoint=255))
    | st.from_regex(r'(for="?[\[\]0-9a-f:."\\,; _]{0,40}[,;]?){0,9}')
)
def test_no_standard_header_can_fail_or_be_taken_for_more_than_an_address(value):
    request = {"client": ("10.0.0.1", 1), "headers": [(b"forwarded", value.encode("latin-1", "replace"))]}
    assert len(ClientAddress(["10.0.0.0/8"], header="forwarded")(request)) <= 64


def test_another_header_is_refused():
    with pytest.raises(ConfigurationError, match="x-real-ip") as caught:
        ClientAddress(header="x-real-ip")
    assert caught.value.field == "header"


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


def test_what_is_too_long_for_an_address_means_nothing():
    key_of = ClientAddress(["10.0.0.0/8"])
    assert key_of(scope("10.0.0.1", "fe80::1%eth0")) == "fe80::/64"
    assert key_of(scope("10.0.0.1", "fe80::1%" + "x" * 60)) == "10.0.0.1"


def test_a_standard_header_too_long_to_be_read_means_nothing():
    long = "for=203.0.113.7;by=" + "x" * 10_000
    assert ClientAddress(["10.0.0.0/8"], header="forwarded")(standard("10.0.0.1", long)) == "10.0.0.1"
