"""The webhook sink: signatures as the standard's own vector has them, and nowhere but where it may go."""

import base64
import hashlib
import hmac
import socket
from collections.abc import Callable

import pytest

from sinks.egress import PUBLIC
from sinks.message import compose
from sinks.sink import Permanent, Transient
from sinks.testing import FIRED, RULE
from sinks.webhook import Webhook, signed
from tests.support.receiver import LOOPBACK, Receiver, Reply

OLD, NEW = ("whsec_" + base64.b64encode(bytes([n]) * 32).decode() for n in (1, 2))
FIRST = compose(FIRED, RULE, "https://v.example", "hooks")


def sink(server: Receiver, *secrets: str) -> Webhook:
    return Webhook(f"{server.url}/hook?a=b", secrets or (NEW,), LOOPBACK, timeout_s=1, clock=lambda: 1_767_225_601.5)


def test_a_signature_is_the_one_of_the_standards_own_example() -> None:
    secret, identity, at_s, body = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'  # fmt: skip
    headers = signed(identity, at_s, body, (secret,))
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


async def test_every_attempt_has_the_same_id_and_both_secrets_sign_while_they_change() -> None:
    with Receiver(lambda _: Reply(204, b"")) as server:
        for _ in range(2):
            assert await sink(server, NEW, OLD).send(FIRST) == FIRST.identity
    one, again = server.asked
    assert one.path == "/hook?a=b"
    assert (one.headers["webhook-id"], one.body) == (again.headers["webhook-id"], again.body)
    content = b".".join((FIRST.identity.encode(), b"1767225601", one.body))
    expected = [hmac.new(bytes([n]) * 32, content, hashlib.sha256).digest() for n in (2, 1)]
    assert one.headers["webhook-signature"].split() == [f"v1,{base64.b64encode(mac).decode()}" for mac in expected]


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_!!!", "hunter2", "whsec_aHVudGVyMg=="])
async def test_a_secret_that_is_none_is_refused_and_not_shown(secret: str) -> None:
    with Receiver() as server, pytest.raises(Permanent, match="the webhook's secret is none") as failure:
        await sink(server, secret).send(FIRST)
    assert "hunter2" not in failure.value.reason + repr(sink(server, secret))
    assert server.asked == []


@pytest.mark.parametrize(
    ("reply", "kind", "reason"),
    [
        (Reply(429, b"", {"Retry-After": "12"}), Transient, "the webhook at 127.0.0.1 asks to slow down"),
        (Reply(502), Transient, "the webhook at 127.0.0.1 answers 502"),
        (Reply(404), Permanent, "the webhook at 127.0.0.1 answers 404: see what your server says to it"),
        (Reply(410), Permanent, "nobody lives here any more"),
        (Reply(302, b"", {"Location": "http://127.0.0.1:1/"}), Permanent, "redirects are not followed"),
    ],
)
async def test_each_answer_has_its_meaning(reply: Reply, kind: type[Exception], reason: str) -> None:
    with Receiver(lambda _: reply) as server, pytest.raises(kind, match=reason):
        await sink(server).send(FIRST)
    assert len(server.asked) == 1


@pytest.mark.parametrize("url", ["http://127.0.0.1:{port}/", "https://127.0.0.1/", "https://localhost/", "https://2130706433/", "http://[::ffff:127.0.0.1]:{port}/"])  # fmt: skip
async def test_a_private_address_is_refused_unless_the_operator_opens_it(url: str) -> None:
    with Receiver() as server:
        port = server.host.partition(":")[2]
        with pytest.raises(
            Permanent,
            match="is not a public address; the operator opens private networks with VEDETTE_PRIVATE_NETWORKS",
        ):
            await Webhook(url.format(port=port), (NEW,), PUBLIC).send(FIRST)
    assert server.asked == []


@pytest.mark.parametrize("url", ["http://93.184.216.34/", "https://93.184.216.34:8443/", "https://u:p@93.184.216.34/"])
async def test_public_hosts_are_spoken_to_by_https_on_port_443_alone(url: str) -> None:
    with pytest.raises(Permanent, match=r"must begin with https|is not allowed, only 443|carries a user"):
        await Webhook(url, (NEW,), PUBLIC).send(FIRST)


async def test_the_address_that_was_checked_is_the_one_that_is_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that is public when it is checked and private a moment later has nothing to win."""
    asked: list[str] = []
    real: Callable[..., object] = socket.getaddrinfo

    def rebinding(host: str, port: int, *arguments: object, **named: object) -> object:
        if host != "rebind.test":
            return real(host, port, *arguments, **named)
        asked.append(host)
        address = "127.0.0.1" if len(asked) == 1 else "169.254.169.254"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    with Receiver() as server:
        port = server.host.partition(":")[2]
        await Webhook(f"http://rebind.test:{port}/", (NEW,), LOOPBACK).send(FIRST)
    assert asked == ["rebind.test"]
    assert server.asked[0].headers["host"] == f"rebind.test:{port}"


async def test_an_unknown_name_may_resolve_later(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> object:
        raise socket.gaierror(-3, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(Transient, match=r"hooks\.test does not resolve: gaierror"):
        await Webhook("https://hooks.test/", (NEW,), PUBLIC).send(FIRST)
