"""Dead letters go back, and what they cause late is what they would have caused at once."""

import json

import pytest

from schemas.alert import AlertChange
from schemas.topics import Topic
from streams.dead_letters import Letter, letter_of
from tests.support.jobs import Installation
from tests.support.otlp import Reply, export_of
from tests.support.shell import vedette

pytestmark = pytest.mark.integration

RULE = {
    "when": {"any": [{"metric": "duration_ms", "op": ">=", "value": 1}]},
    "times": 2,
    "within": "3s",
    "cooldown": "1h",
}
SHOP = {"vedette-project": b"shop"}


def letters(installation: Installation) -> list[Letter]:
    return sorted(map(letter_of, installation.messages(Topic.DLQ)), key=lambda letter: letter.replays)


@pytest.mark.faults
def test_a_span_that_a_bad_release_could_not_handle_is_counted_at_its_own_time_once_it_goes_back(
    installation: Installation,
) -> None:
    installation.configure("Rule", "two", RULE, project="shop")
    installation.in_effect()
    (broken,) = installation.start("tests.support.broken")
    installation.put(Topic.OTLP_SPANS, b"key", export_of([Reply("a" * 32, "a" * 16, "Hello")]), SHOP)
    installation.flush()
    installation.until(lambda: len(letters(installation)) == 1)
    ((came,),) = ([m.timestamp()[1] for m in installation.messages(Topic.OTLP_SPANS)],)

    out, _ = vedette(installation, "dlq", "replay", "--dry-run")
    assert [line.split() for line in out.splitlines()] == [
        ["RECORDS", "TOPIC", "JOB", "CLASS"], ["1", "otlp_spans", "normalise", "KeyError"],
    ]  # fmt: skip
    assert len(installation.messages(Topic.OTLP_SPANS)) == 1
    assert vedette(installation, "dlq", "replay", "--class", "Undecodable")[1] == "0 records put back\n"
    assert vedette(installation, "dlq", "replay", "--class", "KeyError")[1] == "1 records put back\n"
    installation.until(lambda: len(letters(installation)) == 2)  # the release is still bad: it comes back
    assert [(letter.replays, letter.ingested_at, letter.project) for letter in letters(installation)] == [
        (0, came, "shop"), (1, came, "shop"),
    ]  # fmt: skip
    assert broken.terminate() == 0

    installation.start("normalise", content_wait_s=0)
    installation.start("match", "count")
    second = export_of([Reply("b" * 32, "b" * 16, "Hello")])
    headers = {**SHOP, "vedette-ingested-at": str(came + 1000).encode()}  # as if it had come a second later
    installation.put(Topic.OTLP_SPANS, b"key", second, headers)
    installation.flush()
    _, told = vedette(installation, "dlq", "replay", "--topic", "otlp_spans", "--since", "1h", "-p", "shop")
    assert told == "1 records put back\n"  # of two letters, for they hold one record
    last = max(installation.messages(Topic.OTLP_SPANS), key=lambda message: message.timestamp()[1])
    back = {name: value for name, value in last.headers() or () if isinstance(value, bytes)}
    assert (last.key(), back.keys(), back["vedette-replays"]) == (
        b"key",
        {*SHOP, "vedette-ingested-at", "vedette-replays"},
        b"2",
    )

    installation.until(lambda: len(installation.records(Topic.ALERTS, AlertChange)) == 1)
    (alert,) = installation.records(Topic.ALERTS, AlertChange)
    times = {evaluated.span_id[0]: evaluated.ingested_at for evaluated in alert.evidence}
    assert (alert.rule, alert.fired_at, times) == ("two", came, {"a": came, "b": came + 1000})


def test_one_letter_goes_back_by_its_place_and_one_that_is_not_there_is_an_error(installation: Installation) -> None:
    for number in range(3):
        told = {"vedette-error-topic": b"vedette.examples", "vedette-error-class": b"X", "vedette-ingested-at": b"7"}
        installation.put(Topic.DLQ, b"k", b"bytes %d" % number, told, partition=1)
    installation.put(Topic.DLQ, b"k", b"elsewhere", {"vedette-error-topic": b"vedette.next-year"}, partition=0)
    installation.flush()
    assert vedette(installation, "dlq", "replay", "--partition", "1", "--offset", "1")[1] == "1 records put back\n"
    assert [message.value() for message in installation.messages(Topic.EXAMPLES)] == [b"bytes 1"]
    assert "give both" in vedette(installation, "dlq", "replay", "--offset", "1", code=2)[1]
    assert (
        "no dead letter at 1 9"
        in vedette(installation, "dlq", "replay", "--partition", "1", "--offset", "9", code=1)[1]
    )
    assert "no dead letter at 1 9" in vedette(installation, "dlq", "show", "1", "9", code=1)[1]
    _, told_left = vedette(installation, "dlq", "replay", "--topic", "vedette.next-year")
    assert told_left.splitlines() == [
        "1 letters stay: this release has no topic 'vedette.next-year'",
        "0 records put back",
    ]
    (newest,) = json.loads(
        vedette(installation, "dlq", "ls", "-n", "1", "--topic", "vedette.examples", "-o", "json")[0]
    )
    assert (newest["partition"], newest["replays"]) == (1, 0)


def test_a_letter_that_another_made_hides_no_other(installation: Installation) -> None:
    installation.put(Topic.DLQ, None, b"\xff", {"vedette-replays": b"many", "vedette-error-partition": b"-1"})
    installation.flush()
    (row,) = json.loads(vedette(installation, "dlq", "ls", "-o", "json")[0])
    assert (row["topic"], row["replays"]) == ("", 0)
