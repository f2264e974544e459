"""Destinations that are asked, over real connections, without being told anything."""

import json
import threading
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword
from pydantic import BaseModel, SecretStr

from schemas.documents.base import EnvRef
from schemas.documents.destination import EmailSpec, PagerDutySpec, SlackSpec, WebhookSpec
from sinks.mail import Mail
from sinks.slack import Slack
from streams.doctor import destinations
from streams.local.ports import free_port
from streams.settings import Settings
from tests.support.receiver import LOOPBACK, Receiver
from tests.support.records import configured

Answer = Mapping[str, Any]
HERE = {"ok": True, "user": "vedette", "team": "Acme"}
CHANNEL = {"id": "C0123456789", "name": "agents", "is_member": True}


@contextmanager
def slack(answers: Mapping[str, Answer], scopes: str = "chat:write,channels:read") -> Iterator[tuple[str, list[str]]]:
    """A server that speaks Slack's Web API; yields its URL and the methods that were called."""
    called: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("content-length") or 0))
            method = urllib.parse.urlsplit(self.path).path.rsplit("/", 1)[-1]
            called.append(method)
            body = json.dumps(answers.get(method, {"ok": False, "error": "unknown_method"})).encode()
            self.send_response(200)
            headers = {"content-type": "application/json", "content-length": str(len(body)), "x-oauth-scopes": scopes}
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/api/", called
    server.shutdown()
    server.server_close()


def info(**further: Any) -> dict[str, Answer]:
    return {"auth.test": HERE, "conversations.info": {"ok": True, "channel": {**CHANNEL, **further}}}


@pytest.mark.parametrize(
    ("answers", "scopes", "state", "said"),
    [
        (info(), "chat:write", "ok", "vedette in Acme reaches C0123456789"),
        (info(is_member=False), "chat:write", "finding", "vedette in Acme is not in C0123456789"),
        (info(is_member=False), "chat:write,chat:write.public", "ok", "reaches"),
        (info(is_archived=True), "chat:write", "finding", "archived"),
        (info(), "channels:read", "finding", "lacks the scope chat:write"),
        ({"auth.test": {"ok": False, "error": "token_revoked"}}, "", "finding", "Slack says token_revoked"),
        ({"auth.test": {"ok": False, "error": "fatal_error"}}, "", "unknown", "Slack says fatal_error"),
        ({**info(), "conversations.info": {"ok": False, "error": "channel_not_found"}}, "chat:write", "finding", "channel_not_found"),
        ({**info(), "conversations.info": {"ok": False, "error": "missing_scope"}}, "chat:write", "unknown", "cannot be told"),
    ],
)  # fmt: skip
async def test_slack_is_asked_for_its_token_its_scopes_and_the_channel(
    answers: Mapping[str, Answer], scopes: str, state: str, said: str
) -> None:
    with slack(answers, scopes) as (url, called):
        result = await destinations.slack("it", Slack("xoxb-secret", "C0123456789", url, egress=LOOPBACK))
    assert (result.state, said in result.value) == (state, True), result
    assert bool(result.fix) == (state == "finding" or "cannot be told" in said)
    assert "secret" not in str(result)
    assert not any(method.startswith("chat.") for method in called)


async def test_a_channel_is_found_by_its_name_on_a_later_page() -> None:
    pages = {"ok": True, "channels": [{"name": "other"}, CHANNEL], "response_metadata": {"next_cursor": ""}}
    with slack({"auth.test": HERE, "conversations.list": pages}) as (url, _):
        found = await destinations.slack("it", Slack("xoxb-secret", "#agents", url, egress=LOOPBACK))
        missing = await destinations.slack("it", Slack("xoxb-secret", "#nobody", url, egress=LOOPBACK))
    assert (found.state, missing.state, missing.value) == ("ok", "finding", "vedette in Acme sees no channel #nobody")


async def test_slack_that_is_away_says_nothing_about_the_token() -> None:
    result = await destinations.slack(
        "it", Slack("xoxb-secret", "#a", f"http://127.0.0.1:{free_port()}/api/", egress=LOOPBACK)
    )
    assert (result.state, result.value) == ("unknown", "Slack cannot be reached: ClientConnectorError")


@contextmanager
def mail_server(authenticate: Callable[[str], bool]) -> Iterator[int]:
    def login(_server: Any, _session: Any, _envelope: Any, _how: str, data: Any) -> AuthResult:
        known = isinstance(data, LoginPassword) and authenticate(data.password.decode())
        return AuthResult(success=known, handled=False)

    port = free_port()
    controller = Controller(object(), hostname="127.0.0.1", port=port, authenticator=login, auth_require_tls=False)
    controller.start()
    yield port
    controller.stop()


async def test_a_mail_server_is_asked_for_its_greeting_and_the_login_and_the_password_is_never_told() -> None:
    with mail_server(lambda password: password == "right") as port:
        server = Mail("127.0.0.1", "a@b.example", port, "none", "ada", "right")
        good = await destinations.mail("it", server)
        bad = await destinations.mail("it", Mail("127.0.0.1", "a@b.example", port, "none", "ada", "hunter2"))
        plain = await destinations.mail("it", Mail("127.0.0.1", "a@b.example", port, "starttls", "ada", "hunter2"))
    away = await destinations.mail("it", Mail("127.0.0.1", "a@b.example", free_port(), "none"))
    assert (good.state, good.value) == ("ok", f"127.0.0.1:{port} greets us, login as ada")
    assert (bad.state, bad.value, bad.fix) == (
        "finding", f"127.0.0.1:{port} refuses the login (535)", "check the destination's username and password",
    )  # fmt: skip
    assert [plain.state, away.state] == ["finding", "finding"]
    assert "hunter2" not in f"{bad}{plain}"


def destination(name: str, spec: BaseModel) -> tuple[str, str, BaseModel]:
    return "Destination", name, spec


async def test_a_secret_that_cannot_be_read_is_told_with_the_fix() -> None:
    spec = SlackSpec.model_validate({"type": "slack", "token": {"env": "VEDETTE_TEST_NO_SUCH"}, "channel": "#a"})
    mails = EmailSpec.model_validate({"type": "email", "to": ["a@b.example"]})
    configuration = configured(destination("chat", spec), destination("post", mails))
    allowed = Settings(env_allow={"*": ["VEDETTE_TEST_NO_SUCH"]})
    unset, no_server = await destinations.check(configuration, ["default"], allowed)
    forbidden, _ = await destinations.check(configuration, ["default"], Settings())
    assert (unset.state, unset.value) == (
        "finding", "the variable VEDETTE_TEST_NO_SUCH is not set where the job runs",
    )  # fmt: skip
    assert "VEDETTE_ENV_ALLOW" in forbidden.fix
    assert (no_server.state, "VEDETTE_SMTP_URL" in no_server.fix) == ("finding", True)


async def test_the_operators_own_mail_server_is_asked_once() -> None:
    mails = EmailSpec.model_validate({"type": "email", "to": ["a@b.example"]})
    with mail_server(lambda _: True) as port:
        settings = Settings(smtp_url=SecretStr(f"smtp://ada:pw@127.0.0.1:{port}?tls=none"))
        (by_own,) = await destinations.check(configured(destination("post", mails)), ["default"], settings)
        (own,) = await destinations.check_own(settings)
    assert (by_own.state, by_own.value, own.state) == ("ok", "by VEDETTE_SMTP_URL", "ok")
    (wrong,) = await destinations.check_own(Settings(smtp_url=SecretStr("http://nonsense")))
    assert (wrong.state, await destinations.check_own(Settings())) == ("finding", [])


async def test_places_that_know_no_question_are_only_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("PD", "p" * 32), ("WH", "whsec_" + "c2VjcmV0" * 4), ("BAD", "x")):
        monkeypatch.setenv(name, value)
    settings = Settings(env_allow={"*": ["PD", "WH", "BAD"]}, private_networks=["127.0.0.1"])
    with Receiver() as server:
        away = f"http://127.0.0.1:{free_port()}/"
        configuration = configured(
            destination("a", PagerDutySpec(type="pagerduty", routing_key=EnvRef(env="PD"), base_url=server.url)),
            destination("b", WebhookSpec(type="webhook", url=server.url, secret=EnvRef(env="WH"))),
            destination("c", WebhookSpec(type="webhook", url=server.url, secret=EnvRef(env="BAD"))),
            destination("d", WebhookSpec(type="webhook", url=away, secret=EnvRef(env="WH"))),
            destination("e", WebhookSpec(type="webhook", url="https://10.1.2.3/", secret=EnvRef(env="WH"))),
        )
        found = await destinations.check(configuration, ["default"], settings)
    assert [result.state for result in found] == ["ok", "ok", "finding", "finding", "finding"]
    assert server.asked == []
    assert [result.value for result in found[2:]] == [
        "the webhook's secret is none",
        "127.0.0.1 cannot be reached: ClientConnectorError",
        "10.1.2.3 is refused",
    ]
