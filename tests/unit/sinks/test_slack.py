"""Slack's sink against a real HTTP server, through slack-sdk."""

import itertools
import time

import pytest

from sinks.message import Message, compose
from sinks.sink import Permanent, Transient
from sinks.slack import REMEDIES, Slack, escape, identified, payload
from sinks.testing import ACKNOWLEDGED, FIRED, RENOTIFIED, RULE
from streams.local.ports import free_port
from streams.local.standins import SlackCall, SlackReply, SlackStandIn, slack_reply
from tests.support.receiver import LOOPBACK

TOKEN = "xoxb-very-secret"
FIRST = compose(FIRED, RULE, "https://v.example", "#agents")


def later(reference: str) -> Message:
    return compose(RENOTIFIED, RULE, "https://v.example", "#agents", reference)


def sink(server: SlackStandIn) -> Slack:
    return Slack(TOKEN, "#agents", server.url, egress=LOOPBACK, timeout_s=1)


async def test_an_alert_is_posted_once_and_its_reference_names_the_message() -> None:
    with SlackStandIn() as server:
        reference = await sink(server).send(FIRST)
    [call] = server.calls
    assert (call.method, call.token, reference) == ("chat.postMessage", TOKEN, f"#agents,{call.ts}")
    assert call.arguments == {"channel": "#agents", **identified(FIRST)}


async def test_a_later_change_updates_the_first_message_and_replies_in_its_thread() -> None:
    message = later("C1,17.000100")
    with SlackStandIn() as server:
        reference = await sink(server).send(message)
    update, reply = server.calls
    assert reference == "C1,17.000100"
    assert (update.method, update.arguments) == (
        "chat.update",
        {"channel": "C1", "ts": "17.000100", **payload(message)},
    )
    assert (reply.method, reply.arguments) == (
        "chat.postMessage",
        {"channel": "C1", "thread_ts": "17.000100", **identified(message)},
    )


async def test_a_quiet_change_only_updates_the_first_message() -> None:
    message = compose(ACKNOWLEDGED, RULE, "https://v.example", "#agents", "C1,17.000100", quiet=True)
    with SlackStandIn() as server:
        await sink(server).send(message)
    assert [call.method for call in server.calls] == ["chat.update"]


async def test_when_the_first_message_is_gone_the_next_change_starts_anew() -> None:
    def gone(call: SlackCall) -> SlackReply:
        return (
            SlackReply({"ok": False, "error": "message_not_found"})
            if call.method == "chat.update"
            else slack_reply(call)
        )

    with SlackStandIn(respond=gone) as server:
        reference = await sink(server).send(later("C1,17.000100"))
        assert [call.method for call in server.calls] == ["chat.update", "chat.postMessage"]
        assert reference == f"#agents,{server.calls[1].ts}"
        quiet = compose(ACKNOWLEDGED, RULE, "https://v.example", "#agents", "C1,17.000100", quiet=True)
        with pytest.raises(Permanent, match="message_not_found"):
            await sink(server).send(quiet)


async def failure_of(server: SlackStandIn, reply: SlackReply) -> Transient | Permanent:
    server.respond = lambda _: reply
    with pytest.raises((Transient, Permanent)) as failure:
        await sink(server).send(FIRST)
    assert isinstance(failure.value, Transient | Permanent)
    return failure.value


KINDS = ("application/json", "text/html", "text/plain")


async def test_slack_is_left_alone_for_as_long_as_it_asks() -> None:
    asked = {"30": 30.0, "9999": 9999.0, "": None, "soon": None, "-1": None}
    with SlackStandIn() as server:
        for text, seconds in asked.items():
            headers = {"Retry-After": text} if text else {}
            failure = await failure_of(server, SlackReply({"ok": False, "error": "ratelimited"}, 429, headers))
            assert isinstance(failure, Transient)
            assert (failure.reason, failure.retry_after_s) == ("Slack asks to slow down", seconds)
    assert len(server.calls) == len(asked)  # slack-sdk does not retry by itself


async def test_a_server_error_may_pass() -> None:
    with SlackStandIn() as server:
        for status, kind in itertools.product((500, 502, 503, 504, 408), KINDS):
            failure = await failure_of(server, SlackReply({"ok": False}, status, {"Content-Type": kind}))
            assert (type(failure), failure.reason) == (Transient, f"Slack answers {status}")


async def test_an_answer_that_is_not_slacks_may_pass() -> None:
    with SlackStandIn() as server:
        for kind in KINDS:
            failure = await failure_of(server, SlackReply({}, 200, {"Content-Type": kind}))
            assert (type(failure), "read" in failure.reason) == (Transient, True)


async def test_a_slow_and_an_absent_server_may_come_back() -> None:
    def slow(call: SlackCall) -> SlackReply:
        time.sleep(1.5)
        return slack_reply(call)

    with SlackStandIn(respond=slow) as server, pytest.raises(Transient, match="cannot be reached: TimeoutError"):
        await sink(server).send(FIRST)
    with pytest.raises(Transient, match="cannot be reached: ClientConnector"):
        await Slack(TOKEN, "#agents", f"http://127.0.0.1:{free_port()}/api/", egress=LOOPBACK).send(FIRST)


async def test_what_no_retry_changes_is_refused_with_the_remedy() -> None:
    with SlackStandIn() as server:
        for error, remedy in REMEDIES.items():
            failure = await failure_of(server, SlackReply({"ok": False, "error": error}))
            assert (type(failure), failure.reason) == (Permanent, f"Slack says {error}: {remedy}")


async def test_what_slack_may_get_over_is_tried_again() -> None:
    with SlackStandIn() as server:
        for error in ("internal_error", "service_unavailable", "fatal_error", "request_timeout", "a_new_one"):
            failure = await failure_of(server, SlackReply({"ok": False, "error": error}))
            assert (type(failure), failure.reason) == (Transient, f"Slack says {error}")


async def test_a_wrong_base_url_is_told() -> None:
    with SlackStandIn() as server:
        failure = await failure_of(server, SlackReply({}, 404))
    assert (type(failure), failure.reason) == (
        Permanent,
        "Slack's server answers 404: check the destination's base_url",
    )
    with pytest.raises(Permanent, match="the URL contains spaces"):
        await Slack(TOKEN, "#agents", "not a url").send(FIRST)


async def test_the_token_is_in_no_reason_and_no_repr() -> None:
    echo = SlackReply({"ok": False, "error": f"bad {TOKEN}", "needed": TOKEN}, 200, {"X-Echo": TOKEN})
    with SlackStandIn() as server:
        failure = await failure_of(server, echo)
        assert "secret" not in failure.reason + repr(failure) + repr(sink(server))
        assert failure.__suppress_context__
    with pytest.raises(Permanent) as malformed:
        await Slack("xoxb-very-secret\nx", "#agents").send(FIRST)
    assert "secret" not in malformed.value.reason


def test_a_cut_never_splits_an_escape() -> None:
    for limit in range(1, 30):
        text = escape("&<>&<>&<>", limit)
        assert len(text) <= limit
        assert text.replace("&amp;", "").replace("&lt;", "").replace("&gt;", "") in ("", "…")
