"""The mail sink against a real SMTP server, through aiosmtplib."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email import message_from_string
from email.policy import default

import pytest

from sinks.mail import Mail, build
from sinks.message import Message, compose
from sinks.sink import Permanent, Transient
from sinks.testing import FIRED, RENOTIFIED, RULE
from streams.local.ports import free_port
from streams.local.standins import SmtpStandIn

SENDER = "vedette@example.com"
FIRST = compose(FIRED, RULE, "https://v.example", "ada@example.com")
LATER = compose(RENOTIFIED, RULE, "https://v.example", "ada@example.com")


def sink(port: int) -> Mail:
    return Mail("127.0.0.1", SENDER, port, "none", timeout_s=1)


async def test_a_mail_goes_to_one_recipient_and_its_message_id_is_the_reference() -> None:
    with SmtpStandIn() as server:
        reference = await sink(server.port).send(FIRST)
    [mail] = server.mails
    assert (mail.sender, mail.recipients) == (SENDER, ("ada@example.com",))
    parsed = message_from_string(mail.text, policy=default)
    assert parsed["Message-ID"] == reference == f"<{FIRST.identity}@vedette.example.com>"
    assert [part.get_content_type() for part in parsed.walk()] == ["multipart/alternative", "text/plain", "text/html"]


async def test_later_mails_of_an_alert_answer_the_first_one() -> None:
    with SmtpStandIn() as server:
        first = await sink(server.port).send(FIRST)
        later = await sink(server.port).send(LATER)
    one, two = (message_from_string(mail.text, policy=default) for mail in server.mails)
    assert first != later
    assert (two["In-Reply-To"], two["References"]) == (first, first)
    assert (one["In-Reply-To"], two["Subject"]) == (None, f"Re: {one['Subject']}")


def test_every_attempt_is_the_same_mail() -> None:
    assert build(FIRST, SENDER).as_bytes() == build(FIRST, SENDER).as_bytes()


@pytest.mark.parametrize("reply", ["421 4.3.2 closing", "451 4.7.1 greylisted", "452 4.3.1 disk full"])
async def test_a_4xx_may_pass(reply: str) -> None:
    with SmtpStandIn(respond=lambda _: reply) as server, pytest.raises(Transient) as failure:
        await sink(server.port).send(FIRST)
    assert failure.value.reason == f"the mail server says {reply}"
    with SmtpStandIn(admit=lambda _: reply) as server, pytest.raises(Transient) as failure:
        await sink(server.port).send(FIRST)
    assert failure.value.reason == f"the mail server says {reply}"


@pytest.mark.parametrize("reply", ["550 5.1.1 no such user", "552 5.3.4 too big"])
async def test_a_5xx_will_not_pass_and_the_reason_says_what_to_do(reply: str) -> None:
    with SmtpStandIn(admit=lambda _: reply) as server, pytest.raises(Permanent) as failure:
        await sink(server.port).send(FIRST)
    assert failure.value.reason == f"the mail server says {reply}: check the address"
    with SmtpStandIn(respond=lambda _: reply) as server, pytest.raises(Permanent) as failure:
        await sink(server.port).send(FIRST)
    assert (
        failure.value.reason
        == f"the mail server says {reply}: the server refuses what the mail says or how large it is"
    )


@asynccontextmanager
async def raw_server(answers: dict[bytes, bytes | None]) -> AsyncIterator[int]:
    """A server that greets and answers each line by its first word; None cuts the connection, an unknown word is never answered."""

    talks: list[asyncio.Task[None]] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answers[b""] or b"")
        while line := await reader.readline():
            if line.split()[:1] == [b"DATA"]:
                writer.write(b"354 go on\r\n")
                await reader.readuntil(b"\r\n.\r\n")
                line = b"END"
            answer = answers.get(line.split()[0].upper(), b"") if line.split() else b""
            if answer is None:
                break
            writer.write(answer)
        writer.close()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talks.append(asyncio.create_task(talk(reader, writer)))

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]
        await asyncio.gather(*talks)


OK = b"250 ok\r\n"


async def test_a_connection_cut_after_data_may_have_delivered_and_is_tried_again() -> None:
    answers: dict[bytes, bytes | None] = {b"": b"220 hi\r\n", b"EHLO": OK, b"MAIL": OK, b"RCPT": OK, b"END": None}
    async with raw_server(answers) as port:
        with pytest.raises(Transient, match="cannot be reached: SMTPServerDisconnected"):
            await sink(port).send(FIRST)


async def test_a_server_that_stalls_is_given_up_in_time() -> None:
    async with raw_server({b"": b"220 hi\r\n", b"EHLO": OK}) as port:
        with pytest.raises(Transient, match="cannot be reached: SMTPReadTimeoutError"):
            await sink(port).send(FIRST)


async def test_a_server_that_is_away_or_turns_us_away_is_tried_again() -> None:
    port = free_port()
    with pytest.raises(Transient, match=f"127.0.0.1:{port} cannot be reached: SMTPConnectError"):
        await sink(port).send(FIRST)
    async with raw_server({b"": b"421 too busy\r\n"}) as port:
        with pytest.raises(Transient, match="the mail server says 421"):
            await sink(port).send(FIRST)


async def test_a_server_without_the_tls_that_is_asked_for_gets_no_mail() -> None:
    with SmtpStandIn() as server, pytest.raises(Permanent, match="check the destination's tls"):
        await Mail("127.0.0.1", SENDER, server.port, "starttls", timeout_s=1).send(FIRST)
    assert server.mails == []


async def test_a_refused_login_shows_no_password() -> None:
    answers: dict[bytes, bytes | None] = {
        b"": b"220 hi\r\n",
        b"EHLO": b"250-hi\r\n250 AUTH PLAIN\r\n",
        b"AUTH": b"535 no, hunter2 is wrong\r\n",
        b"QUIT": b"221 bye\r\n",
    }
    async with raw_server(answers) as port:
        with pytest.raises(Permanent) as failure:
            await Mail("127.0.0.1", SENDER, port, "none", "me", "hunter2", timeout_s=1).send(FIRST)
    assert failure.value.reason == "the mail server says 535: check the destination's username and password"
    assert "hunter2" not in repr(Mail("h", SENDER, 25, "none", "me", "hunter2"))


@pytest.mark.parametrize(
    "recipient",
    [
        "a@example.org, evil@example.org",
        "a@example.org\r\nBcc: evil@example.org",
        "a@example.org>\r\nRCPT TO:<e@x.org",
        "a",
        "",
    ],
)
async def test_a_recipient_is_one_address_or_none(recipient: str) -> None:
    with SmtpStandIn() as server, pytest.raises(Permanent, match="is no mail address"):
        await sink(server.port).send(compose(FIRED, RULE, "https://v.example", recipient))
    assert server.mails == []


def test_no_text_of_an_agent_makes_a_header() -> None:
    evil = "x\r\nBcc: evil@example.com\u2028Cc: evil@example.com\x0b\x85"
    change = FIRED.model_copy(update={"rule": evil, "project": evil, "alert_id": evil, "group_key": "{}"})
    message: Message = compose(change, RULE, "https://v.example", "ada@example.com")
    parsed = message_from_string(build(message, SENDER).as_bytes().decode(), policy=default)
    assert sorted(parsed.keys()) == sorted(build(FIRST, SENDER).keys())
