import json
import smtplib
import subprocess
import sys
import time
import urllib.request

import pytest
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError

from streams.local.ports import free_port
from streams.local.standins import Mail, SlackReply, SlackStandIn, SmtpStandIn, slack_reply

MAIL = "From: vedette@example.com\r\nSubject: Alert\r\n\r\nGrüße\r\n"


def lines(file):
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_a_posted_message_is_recorded_and_can_be_updated(tmp_path):
    record = tmp_path / "slack.jsonl"
    with SlackStandIn(record=record) as slack:
        client = WebClient(token="xoxb-1", base_url=slack.url)
        blocks = [{"type": "section", "text": {"type": "mrkdwn", "text": "*3 failures*"}}]
        posted = client.chat_postMessage(channel="#agents", text="3 failures", blocks=blocks)
        client.chat_update(channel="#agents", ts=posted["ts"], text="resolved")
    first, second = lines(record)
    assert (first["method"], first["arguments"]["channel"], first["arguments"]["blocks"]) == (
        "chat.postMessage",
        "#agents",
        blocks,
    )
    assert first["reply"]["ts"] == posted["ts"] == second["arguments"]["ts"]
    assert second["method"] == "chat.update"
    assert abs(first["time"] - time.time()) < 60
    assert "xoxb-1" not in record.read_text()
    assert [call.token for call in slack.calls] == ["xoxb-1", "xoxb-1"]


def test_every_message_has_a_timestamp_of_its_own():
    with SlackStandIn() as slack:
        client = WebClient(token="xoxb-1", base_url=slack.url)
        stamps = [client.chat_postMessage(channel="#a", text="x")["ts"] for _ in range(5)]
    assert len(set(stamps)) == 5


@pytest.mark.parametrize(
    ("token", "channel", "text", "error"),
    [
        (None, "#agents", "hi", "not_authed"),
        ("nonsense", "#agents", "hi", "invalid_auth"),
        ("xoxb-1", "", "hi", "channel_not_found"),
        ("xoxb-1", "#agents", "", "no_text"),
    ],
)
@pytest.mark.filterwarnings("ignore:The top-level `text` argument is missing")
def test_wrong_calls_get_slacks_own_errors(token, channel, text, error):
    with SlackStandIn() as slack, pytest.raises(SlackApiError) as raised:
        WebClient(token=token, base_url=slack.url).chat_postMessage(channel=channel, text=text)
    assert raised.value.response["error"] == error


def test_the_identity_of_the_token_can_be_asked_for():
    with SlackStandIn() as slack:
        assert WebClient(token="xoxb-1", base_url=slack.url).auth_test()["ok"] is True


def test_a_fault_can_be_injected_per_call():
    def first_is_limited(call):
        if not slack.calls:
            return SlackReply({"ok": False, "error": "ratelimited"}, status=429, headers={"Retry-After": "7"})
        return slack_reply(call)

    with SlackStandIn(respond=first_is_limited) as slack:
        client = WebClient(token="xoxb-1", base_url=slack.url)
        with pytest.raises(SlackApiError) as raised:
            client.chat_postMessage(channel="#agents", text="hi")
        assert (raised.value.response.status_code, raised.value.response.headers["Retry-After"]) == (429, "7")
        assert client.chat_postMessage(channel="#agents", text="hi")["ok"] is True


def test_an_accepted_mail_is_recorded_with_envelope_and_raw_text(tmp_path):
    record = tmp_path / "mail.jsonl"
    with SmtpStandIn(record=record) as server, smtplib.SMTP("127.0.0.1", server.port) as client:
        client.sendmail(
            "vedette@example.com", ["a@example.com", "b@example.com"], MAIL.encode(), ["SMTPUTF8", "BODY=8BITMIME"]
        )
    (line,) = lines(record)
    assert abs(line.pop("time") - time.time()) < 60
    assert line == {"sender": "vedette@example.com", "recipients": ["a@example.com", "b@example.com"], "text": MAIL}
    assert server.mails == [Mail("vedette@example.com", ("a@example.com", "b@example.com"), MAIL)]


def test_a_refused_mail_is_not_recorded():
    with (
        SmtpStandIn(respond=lambda _: "451 try later") as server,
        smtplib.SMTP("127.0.0.1", server.port) as client,
        pytest.raises(smtplib.SMTPDataError, match="451"),
    ):
        client.sendmail("v@example.com", ["a@example.com"], "Subject: x\r\n\r\nx")
    assert server.mails == []


def test_one_recipient_can_be_refused_and_the_other_gets_the_mail():
    with (
        SmtpStandIn(admit=lambda address: "550 no such user" if address.startswith("b") else "250 OK") as server,
        smtplib.SMTP("127.0.0.1", server.port) as client,
    ):
        refused = client.sendmail("v@example.com", ["a@example.com", "b@example.com"], "Subject: x\r\n\r\nx")
    assert list(refused) == ["b@example.com"]
    assert [mail.recipients for mail in server.mails] == [("a@example.com",)]


def test_the_slack_stand_in_runs_as_a_process_of_its_own(tmp_path):
    port, record = free_port(), tmp_path / "slack.jsonl"
    command = [sys.executable, "-m", "streams.local.standins", "slack", str(port), str(record)]
    with subprocess.Popen(command) as process:
        wait_for(f"http://127.0.0.1:{port}/readyz")
        WebClient(token="xoxb-1", base_url=f"http://127.0.0.1:{port}/api/").chat_postMessage(channel="#a", text="hi")
        process.terminate()
    assert [line["method"] for line in lines(record)] == ["chat.postMessage"]


def wait_for(url):
    deadline = time.monotonic() + 20
    while True:
        try:
            return urllib.request.urlopen(url, timeout=1).close()
        except OSError:
            assert time.monotonic() < deadline, f"{url} does not answer"
            time.sleep(0.05)
