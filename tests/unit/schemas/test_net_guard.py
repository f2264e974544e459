"""No URL that somebody else wrote leads to an address that is not public."""

import ipaddress
import socket

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.net_guard import Refused, addresses_of, guarded_sockets, networks, resolve, url_target, why_refused

NAMES = {
    "ok.test": ["93.184.216.34"],
    "v6.test": ["2606:2800:220:1::1"],
    "dns64.test": ["64:ff9b::5db8:d822"],
    "rebind.test": ["93.184.216.34", "127.0.0.1"],
    "internal.test": ["10.1.2.3"],
    "mapped.test": ["::ffff:127.0.0.1"],
    "nat64.test": ["64:ff9b::7f00:1"],
    "local-nat64.test": ["64:ff9b:1::7f00:1"],
    "6to4.test": ["2002:7f00:1::"],
    "teredo.test": ["2001:0:4136:e378:8000:63bf:3fff:fdd2"],
    "compatible.test": ["::127.0.0.1"],
    "site.test": ["fec0::1"],
    "cgn.test": ["100.64.0.1"],
    "meta.test": ["169.254.169.254"],
    "alibaba.test": ["100.100.100.200"],
    "ula.test": ["fd00:ec2::254"],
    "link.test": ["fe80::1%eth0"],
    "benchmark.test": ["198.18.0.1"],
    "future.test": ["240.0.0.1"],
    "nonsense.test": ["not an address"],
    "silent.test": [],
}
HOSTILE = [
    "http://ok.test/", "https://127.0.0.1/", "https://localhost/", "https://2130706433/", "https://0x7f000001/",
    "https://0177.0.0.1/", "https://127.1/", "https://0/", "https://0.0.0.0/", "https://[::]/", "https://[::1]/",
    "https://[::ffff:127.0.0.1]/", "https://[::ffff:7f00:1]/", "https://[64:ff9b::7f00:1]/", "https://[fe80::1%25eth0]/",
    "https://169.254.169.254/latest/meta-data/", "https://rebind.test/", "https://internal.test/", "https://mapped.test/",
    "https://nat64.test/", "https://6to4.test/", "https://cgn.test/", "https://meta.test/", "https://alibaba.test/",
    "https://ula.test/", "https://user@ok.test/", "https://:secret@ok.test/", "https://ok.test:9000/",
    "https://ok.test\\@127.0.0.1/", "https://ok.test\r\nHost: x/", "https://ok.test /", "file:///etc/passwd",
    "gopher://127.0.0.1/", "https://224.0.0.1/", "https://ⓛocalhost/", "https://①②⑦.⓪.⓪.①/", "//ok.test/",
    "https:///x", "", "https://ok.test:99999/", "https://[::1/", "https://255.255.255.255/", "https://unknown.test/",
    "https://teredo.test/", "https://compatible.test/", "https://site.test/", "https://local-nat64.test/",
    "https://link.test/", "https://benchmark.test/", "https://future.test/", "https://nonsense.test/", "https://silent.test/",
]  # fmt: skip


def look_up(host: str, port: int) -> list[str]:
    """Our names, else what the machine's resolver makes of a number; no name is asked for outside."""
    if host in NAMES:
        return NAMES[host]
    if host == "localhost":
        return ["127.0.0.1"]
    return [str(found[4][0]) for found in socket.getaddrinfo(host, port, flags=socket.AI_NUMERICHOST)]


def checked(url: str) -> str:
    return resolve(*url_target(url), look_up=look_up)[0]


@pytest.mark.parametrize("url", HOSTILE)
def test_a_hostile_url_leads_nowhere(url: str) -> None:
    with pytest.raises(Refused) as refused:
        checked(url)
    assert str(refused.value), "the author of the URL is told why"


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("https://ok.test/hook?a=%20b#c", "93.184.216.34"),
        ("https://OK.test.:443/", "93.184.216.34"),
        ("https://v6.test/x", "2606:2800:220:1::1"),
        ("https://dns64.test/", "64:ff9b::5db8:d822"),
        ("https://93.184.216.34/", "93.184.216.34"),
        ("https://[2606:2800:220:1::1]/", "2606:2800:220:1::1"),
    ],
)
def test_an_honest_url_leads_to_the_address_that_was_checked(url: str, address: str) -> None:
    assert checked(url) == address


def test_only_listed_hosts_when_there_is_a_list() -> None:
    assert url_target("https://Hooks.test/a", hosts=["hooks.test"]) == ("hooks.test", 443)
    with pytest.raises(Refused, match=r"ok\.test is not allowed, only hooks\.test"):
        url_target("https://ok.test/", hosts=["hooks.test"])


def test_the_operator_may_open_a_private_network_and_no_other_with_it() -> None:
    opened = networks(["10.1.0.0/16", "127.0.0.1"])
    assert resolve("internal.test", 443, opened, look_up) == ("10.1.2.3",)
    assert resolve("mapped.test", 443, opened, look_up) == ("::ffff:127.0.0.1",)
    with pytest.raises(Refused, match=r"169\.254\.169\.254 is not a public address.*VEDETTE_PRIVATE_NETWORKS"):
        resolve("meta.test", 443, opened, look_up)


@pytest.mark.parametrize(
    "url",
    [
        "https://user:hunter2@ok.test/",
        "http://ok.test/hunter2",
        "https://ok.test:1/hunter2",
        "https://ok.test/hunter2 ",
        "https://[/hunter2",
    ],
)
def test_a_secret_in_a_url_is_not_repeated_in_the_refusal(url: str) -> None:
    with pytest.raises(Refused) as refused:
        url_target(url)
    assert "hunter2" not in str(refused.value)


def test_the_resolver_of_the_machine_is_asked_once() -> None:
    asked = []

    def count(host: str, port: int) -> list[str]:
        asked.append((host, port))
        return NAMES[host]

    resolve("ok.test", 443, look_up=count)
    assert asked == [("ok.test", 443)]
    assert set(addresses_of("127.0.0.1", 443)) == {"127.0.0.1"}


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_a_guarded_connector_asks_of_every_address_that_it_connects_to(host: str) -> None:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(socket_factory=guarded_sockets())) as session:
        with pytest.raises(Refused, match=r"127\.0\.0\.1 is not a public address|::1 is not a public address"):
            await session.get(f"http://{host}:9/")


@pytest.mark.parametrize(
    ("address", "private", "encrypted", "refused"),
    [
        ("93.184.216.34", (), True, ""),
        ("93.184.216.34", (), False, "must begin with https"),
        ("10.1.2.3", (), True, "not a public address"),
        ("10.1.2.3", ("10.0.0.0/8",), False, ""),
    ],
)
def test_http_goes_to_opened_networks_alone(
    address: str, private: tuple[str, ...], encrypted: bool, refused: str
) -> None:
    make = guarded_sockets(networks(private), encrypted=encrypted)
    found = (socket.AF_INET, socket.SOCK_STREAM, 0, "", (address, 80))
    if refused:
        with pytest.raises(Refused, match=refused):
            make(found)
    else:
        make(found).close()


@given(st.ip_addresses(v=4))
def test_writing_an_ipv4_address_as_ipv6_changes_nothing(address: ipaddress.IPv4Address) -> None:
    plain = why_refused(str(address))
    assert why_refused(f"::ffff:{address}") == plain
    assert why_refused(str(ipaddress.IPv6Address((0x64FF9B << 96) | int(address)))) == plain
    assert why_refused(str(ipaddress.IPv6Address((0x2002 << 112) | int(address) << 80))), "6to4 is refused altogether"
    assert why_refused(str(ipaddress.IPv6Address(int(address)))), "so are the addresses that are IPv4-compatible"


@given(st.ip_addresses(v=6))
def test_what_is_not_global_unicast_is_refused(address: ipaddress.IPv6Address) -> None:
    refused = why_refused(str(address))
    if address not in ipaddress.ip_network("2000::/3") and address not in ipaddress.ip_network("64:ff9b::/96"):
        assert refused or (address.ipv4_mapped and not why_refused(str(address.ipv4_mapped)))
