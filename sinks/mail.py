"""Mail: one message per alert change and recipient, all of an alert in one thread.

Headers: RFC 5322 (Message-ID, References), RFC 3834 (Auto-Submitted), RFC 2919 (List-Id).
"""

import re
from dataclasses import dataclass, field
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP as SMTP_POLICY
from email.utils import formatdate
from html import escape
from typing import Literal

import aiosmtplib

from sinks.egress import Egress
from sinks.message import Message, Sample, clean, utc
from sinks.sink import Permanent, Transient

COLOURS = {"firing": "#d72b3f", "acknowledged": "#b87a00", "resolved": "#1f8a5b"}
ADVICE = {
    "recipient": "check the address",
    "sender": "check the destination's `from` and whether the server lets it send",
    "content": "the server refuses what the mail says or how large it is",
    "login": "check the destination's username and password",
    "server": "check the destination's smtp host and port",
}

_UNREACHABLE = (aiosmtplib.SMTPServerDisconnected, aiosmtplib.SMTPTimeoutError, aiosmtplib.SMTPConnectError)


@dataclass(frozen=True)
class Mail:
    """A mail server and a sender. Certificates are checked whenever there is TLS. The operator's own server needs no `egress`."""

    host: str
    sender: str
    port: int = 587
    tls: Literal["none", "starttls", "tls"] = "starttls"
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    egress: Egress | None = None
    timeout_s: float = 10

    async def send(self, message: Message) -> str:
        """Hands one mail to the server and returns its Message-ID, which is the same in every attempt.

        A connection cut after DATA may have delivered: the repeated mail has the same Message-ID, by which mail programs recognise it.

        Raises:
            Transient: the server is away or says 4xx.
            Permanent: the server says 5xx; the reason says what to do.

        """
        mail = build(message, self.sender)
        try:
            async with await self.server() as server:
                await server.send_message(mail, sender=self.sender, recipients=[message.recipient])
        except aiosmtplib.SMTPRecipientsRefused as error:
            raise _failure(error.recipients[0].code, error.recipients[0].message, "recipient") from None
        except aiosmtplib.SMTPResponseException as error:
            raise _failure(error.code, error.message, _what(error)) from None
        except (*_UNREACHABLE, OSError) as error:
            raise Transient(
                f"the mail server {self.host}:{self.port} cannot be reached: {type(error).__name__}"
            ) from None
        except aiosmtplib.SMTPException as error:
            text = f"the mail server cannot do what is asked: {clean(error.message, 200)}"
            raise Permanent(f"{text}; check the destination's tls and login") from None
        return str(mail["Message-ID"])

    async def server(self) -> aiosmtplib.SMTP:
        """Returns a client that connects when it is entered: to a checked address, unless the server is the operator's.

        Raises:
            Transient, Permanent, OSError, TimeoutError: there is no such host, nothing may be sent there, or it does not answer.

        """
        reached = None if self.egress is None else await self.egress.connection(self.host, self.port, self.timeout_s)
        return aiosmtplib.SMTP(
            hostname=self.host,
            port=None if reached else self.port,
            sock=reached,
            use_tls=self.tls == "tls",
            start_tls=self.tls == "starttls",
            username=self.username,
            password=self.password,
            timeout=self.timeout_s,
            local_hostname=_domain(self.sender),  # the default asks DNS, which may hang
        )


def build(message: Message, sender: str) -> EmailMessage:
    """Returns the mail, the same bytes for the same arguments.

    Raises:
        Permanent: an address is none.

    """
    mail = EmailMessage(policy=SMTP_POLICY)
    mail["From"] = _address(sender, "Vedette")
    mail["To"] = _address(message.recipient)
    mail["Subject"] = clean(f"{'Re: ' if message.change else ''}[{message.project}] {message.topic}", 200)
    mail["Date"] = formatdate(message.at_ms / 1000)
    mail["Message-ID"] = message_id(message.identity, sender)
    if message.change:
        mail["In-Reply-To"] = mail["References"] = message_id(message.first_identity, sender)
    mail["Auto-Submitted"] = "auto-generated"
    mail["List-Id"] = f"<{_label(message.project)}.vedette.{_domain(sender)}>"
    mail["List-Unsubscribe"] = f"<mailto:{sender}?subject=unsubscribe%20{_label(message.project)}>"
    if message.alert_id:  # a digest has none
        mail["X-Vedette-Alert"] = clean(message.alert_id, 100)
        mail["X-Vedette-Rule"] = clean(message.rule, 200)
    mail.set_content(plain_text(message))
    mail.add_alternative(html(message), subtype="html")
    mail.set_boundary(f"vedette-{message.identity}")
    return mail


def message_id(identity: str, sender: str) -> str:
    """Returns the Message-ID of the message with this identity."""
    return f"<{identity}@vedette.{_domain(sender)}>"


def plain_text(message: Message) -> str:
    """Returns the mail's text part."""
    body = [message.text] if message.text else _standard_lines(message)
    return "\n".join([message.headline, "", *body, "", f"Open alert: {message.url}", ""])


def _standard_lines(message: Message) -> list[str]:
    width = max((len(name) for name, _ in message.facts), default=0)
    facts = [f"{name + ':':<{width + 2}}{value}" for name, value in message.facts]
    samples = [line for sample in message.samples for line in ("", *_sample_lines(sample))]
    return [message.cause, "", *facts, *samples]


def html(message: Message) -> str:
    """Returns the mail's HTML part: inline CSS, nothing remote, nothing that agents wrote unescaped."""
    body = f'<p style="white-space:pre-wrap">{escape(message.text)}</p>' if message.text else _standard_html(message)
    return (
        f'<!doctype html><html><body style="font:14px/1.5 sans-serif;color:#1d1c1d;margin:16px">'
        f'<div style="border-left:4px solid {COLOURS[message.state]};padding-left:12px">'
        f'<h1 style="font-size:18px;margin:0 0 8px">{escape(message.headline)}</h1>{body}'
        f'<p><a href="{escape(message.url)}">Open alert</a></p></div>'
        f'<p style="color:#696969;font-size:12px">Vedette · {escape(message.project)} · {utc(message.at_ms)}</p></body></html>\n'
    )


def _standard_html(message: Message) -> str:
    facts = "".join(
        f'<tr><td style="{_NAME}">{escape(name)}</td><td>{escape(value)}</td></tr>' for name, value in message.facts
    )
    samples = "".join(_sample_html(sample) for sample in message.samples)
    return f'<p>{escape(message.cause)}</p><table style="border-collapse:collapse">{facts}</table>{samples}'


_NAME = "color:#696969;padding-right:16px;vertical-align:top"


def _sample_lines(sample: Sample) -> list[str]:
    return [f"* {sample.reason}", f"  {sample.subject}", *([f"  {sample.url}"] if sample.url else [])]


def _sample_html(sample: Sample) -> str:
    link = f' <a href="{escape(sample.url)}">Open</a>' if sample.url else ""
    small = f'<span style="color:#696969;font-size:12px">{escape(sample.subject)}</span>'
    return f'<p style="background:#f6f6f6;padding:8px;margin:8px 0">{escape(sample.reason)}<br>{small}{link}</p>'


def _address(text: str, display_name: str = "") -> Address:
    """An address is parsed, never pasted: a header made from a string could hold a second recipient."""
    try:
        address = Address(display_name=display_name, addr_spec=text)
    except (ValueError, MessageError, IndexError):
        address = Address()
    if address.username and address.domain:
        return address
    raise Permanent(f"{clean(text, 100)!r} is no mail address: correct it in the rule or destination")


def _domain(address: str) -> str:
    domain = re.sub(r"[^a-z0-9.-]", "-", address.rpartition("@")[2].lower())[:200]
    return domain.strip(".-") or "localhost"


def _label(project: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", project.lower()).strip("-")[:60] or "project"


def _what(error: aiosmtplib.SMTPResponseException) -> str:
    if isinstance(error, aiosmtplib.SMTPAuthenticationError):
        return "login"
    if isinstance(error, aiosmtplib.SMTPSenderRefused):
        return "sender"
    return "content" if isinstance(error, aiosmtplib.SMTPDataError) else "server"


def _failure(code: int, text: str, what: str) -> Transient | Permanent:
    said = "" if what == "login" else f" {clean(text, 200)}"  # an answer to a login might repeat it
    reason = f"the mail server says {code}{said}"
    return Permanent(f"{reason}: {ADVICE[what]}") if 500 <= code < 600 else Transient(reason)
