"""What must hold after any fault, checked from outside: a client's ledger, the topics, the tables, and what people were told.

Its numbers are those of the list that the design promises by:

1. every span that got a 2xx is in ClickHouse once;
2. nothing is invented or altered, or in another's project;
3. a sampled span has exactly one verdict of each scorer, another none;
4. the alert changes are those of the fold over the rule events;
5. two firings of a rule and group lie a cooldown apart;
6. every change reached every destination or says why not, and nobody was told of anything else;
7. every job has read everything a while after the last fault;
8. nothing was dropped in silence: no dead letters, no spans left out;
9. no offset was committed over work in flight: the last three say so together, and tests/property/test_offsets.py for itself;
10. no secret is in a topic, a table or a log.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Message, TopicPartition

from schemas.ids import hashed
from sinks.mail import message_id
from streams import kafka
from streams.config_feed import ConfigFeed
from streams.local.standins import SlackStandIn, SmtpStandIn
from streams.logic.sampling import keep
from tests.faults.counter_soak import offline
from tests.support.ledger import PROJECT, Ledger
from tests.support.system import SLACK_TOKEN, System, until

SHARE = 0.3
COOLDOWN_MS = 5_000
DRAINED_WITHIN_S = 60
LEAST = 200
"""Accepted spans: fewer would prove nothing."""
SENDER, RECIPIENT, CHANNEL = "vedette@example.com", "oncall@example.com", "#agents"
DOCUMENTS = """
apiVersion: vedette/v1
kind: Scorer
metadata: {{name: refunds, project: shop}}
spec: {{type: contains, with: {{field: output, any: [refund]}}, threshold: 0.5, online: [{{target: span}}]}}
---
apiVersion: vedette/v1
kind: Scorer
metadata: {{name: some, project: shop}}
spec: {{type: contains, with: {{field: output, any: [refund]}}, threshold: 0.5, online: [{{target: span, sampling_rate: 0.3}}]}}
---
apiVersion: vedette/v1
kind: Destination
metadata: {{name: slack, project: shop}}
spec: {{type: slack, token: {{env: SLACK_BOT_TOKEN}}, channel: "#agents", base_url: "{slack}"}}
---
apiVersion: vedette/v1
kind: Destination
metadata: {{name: mail, project: shop}}
spec: {{type: email, digest_above: 1000, to: [oncall@example.com], from: vedette@example.com, smtp: {{host: 127.0.0.1, port: {smtp}, tls: none}}}}
---
apiVersion: vedette/v1
kind: Rule
metadata: {{name: once, project: shop}}
spec: {{when: {{all: [{{scorer: refunds, is: fails}}]}}, group_by: [agent], times: 3, within: 5m, cooldown: 30m, actions: [{{notify: slack}}, {{notify: mail}}]}}
---
apiVersion: vedette/v1
kind: Rule
metadata: {{name: often, project: shop}}
spec: {{when: {{all: [{{scorer: refunds, is: fails}}]}}, group_by: [agent], times: 5, within: 10s, cooldown: 5s, resolve_after: 8s, actions: [{{notify: slack}}, {{notify: mail}}]}}
"""

Change = tuple[str, int]
"""Alert id and number of the change."""


@dataclass
class Places:
    """Where people are told: a Slack and a mail server that behave as a test wants."""

    slack: SlackStandIn = field(default_factory=SlackStandIn)
    smtp: SmtpStandIn = field(default_factory=SmtpStandIn)

    def __enter__(self) -> "Places":
        self.slack.__enter__()
        self.smtp.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self.smtp.__exit__(*error)
        self.slack.__exit__(*error)

    @property
    def documents(self) -> str:
        """Scorers, destinations and rules that the invariants are about."""
        return DOCUMENTS.format(slack=self.slack.url, smtp=self.smtp.port)

    def told_slack(self) -> set[Change]:
        """Every change of which Slack has a message."""
        told = [json.loads(call.arguments["metadata"]) if isinstance(call.arguments.get("metadata"), str)
                else call.arguments.get("metadata") for call in self.slack.calls]  # fmt: skip
        ids = [(one["event_payload"]["alert_id"], int(one["event_payload"]["change"])) for one in told if one]
        return set(ids)

    def told_mail(self) -> set[str]:
        """The Message-IDs of all mails."""
        lines = [line for mail in self.smtp.mails for line in mail.text.splitlines()]
        return {line.partition(":")[2].strip() for line in lines if line.lower().startswith("message-id:")}


def assert_all_hold(system: System, ledger: Ledger, places: Places, told_within_s: float = DRAINED_WITHIN_S) -> None:
    """Waits until everything was read, then compares the ledger with ClickHouse, the topics, Slack and the mail server."""
    until(system.is_drained, DRAINED_WITHIN_S)  # 7
    assert len(ledger.accepted) > LEAST
    _assert_spans(system, ledger)
    _assert_scores(system, ledger)
    _assert_alerts(system)
    until(lambda: not _pending(system), told_within_s)
    _assert_told(system, places)
    assert json.loads(system.vedette("dlq", "ls", "-o", "json")) == []  # 8
    assert list(_where_secrets_are(system)) == []


def stored(system: System) -> dict[str, tuple[str, str, int]]:
    """Returns project, output and number of rows of every span by its subject id."""
    rows = system.select(
        "SELECT project, trace_id, span_id, any(output) AS said, toUInt32(count()) AS n FROM spans FINAL GROUP BY ALL"
    )
    return {f"{row['trace_id']}:{row['span_id']}": (row["project"], row["said"], row["n"]) for row in rows}


def _assert_spans(system: System, ledger: Ledger) -> None:
    spans = stored(system)
    assert ledger.accepted <= spans.keys() <= ledger.texts.keys()  # 1, 2
    assert {n for _, _, n in spans.values()} == {1}  # 1
    assert {project for project, _, _ in spans.values()} == {PROJECT}  # 2
    assert [subject for subject, (_, said, _) in spans.items() if ledger.texts[subject] not in said] == []  # 2


def _assert_scores(system: System, ledger: Ledger) -> None:
    outcomes = {subject: "pass" if "refund" in ledger.texts[subject] else "fail" for subject in stored(system)}
    sampled = {subject: outcomes[subject] for subject in outcomes if keep(PROJECT, subject.partition(":")[0], SHARE)}
    assert scores(system, "refunds") == sorted(outcomes.items())  # 3
    assert scores(system, "some") == sorted(sampled.items())  # 3


def scores(system: System, scorer: str) -> list[tuple[str, str]]:
    rows = system.select(f"SELECT subject_id, outcome FROM scores FINAL WHERE scorer = '{scorer}'")
    return sorted((row["subject_id"], row["outcome"]) for row in rows)


def changes(system: System) -> list[Change]:
    rows = system.select("SELECT alert_id, toUInt32(change) AS change FROM alert_changes FINAL ORDER BY ALL")
    return [(row["alert_id"], row["change"]) for row in rows]


def _assert_alerts(system: System) -> None:
    feed = ConfigFeed(system.settings)
    feed.start()
    must, may = offline(system.settings, feed.configuration)
    feed.stop()
    assert len(must) >= 2
    told = changes(system)
    assert must.keys() <= set(told) <= must.keys() | may.keys()  # 4
    assert len(told) == len(set(told))  # 4
    rows = system.select("SELECT state FROM alerts FINAL WHERE rule = 'once'")
    assert rows == [{"state": "firing"}]
    fired = system.select(
        "SELECT toUnixTimestamp64Milli(changed_at) AS at FROM alert_changes FINAL WHERE rule = 'often'"
        " AND kind IN ('fired', 'renotified') ORDER BY at"
    )
    times = [int(row["at"]) for row in fired]
    assert [later - earlier for earlier, later in pairwise(times) if later - earlier < COOLDOWN_MS] == []  # 5


def deliveries(system: System) -> dict[tuple[str, Change], str]:
    rows = system.select(
        "SELECT destination, alert_id, toUInt32(change) AS change, state, reason FROM deliveries FINAL"
    )
    for row in rows:
        assert row["state"] in ("sent", "pending") or row["reason"], row
    return {(row["destination"], (row["alert_id"], row["change"])): row["state"] for row in rows}


def _pending(system: System) -> list[tuple[str, Change]]:
    return [place for place, state in deliveries(system).items() if state == "pending"]


def _assert_told(system: System, places: Places) -> None:
    made, ledger = changes(system), deliveries(system)
    assert ledger.keys() == {(place, change) for place in ("slack", "mail") for change in made}  # 6
    sent: dict[str, set[Change]] = defaultdict(set)
    for (place, change), state in ledger.items():
        if state == "sent":
            sent[place].add(change)
    assert sent["slack"] <= places.told_slack() <= set(made)  # 6
    assert _mails(sent["mail"]) <= places.told_mail() <= _mails(made)  # 6


def _mails(changes: Iterable[Change]) -> set[str]:
    return {message_id(hashed(PROJECT, alert, str(number), RECIPIENT), SENDER) for alert, number in changes}


def _where_secrets_are(system: System) -> Iterator[str]:
    """Invariant 10. The keys are canaries: whoever writes one down anywhere is found."""
    facts = system.facts
    files = [facts["ingest_key_file"], facts["admin_key_file"], facts["clickhouse"]["password_file"]]
    secrets = [SLACK_TOKEN, *(Path(file).read_text().strip() for file in files)]
    for name, text in _written(system):
        yield from (f"{secret[:6]}… in {name}" for secret in secrets if secret.encode() in text)


def _written(system: System) -> Iterator[tuple[str, bytes]]:
    for log in (system.data_dir / "logs").iterdir():
        yield log.name, log.read_bytes()
    for message in _messages(system):
        yield (
            message.topic() or "",
            b"\0".join((message.key() or b"", message.value() or b"", repr(message.headers()).encode())),
        )
    for row in system.select("SHOW TABLES"):
        table: Any = row["name"]
        yield table, json.dumps(system.select(f"SELECT * FROM {table} LIMIT 100000")).encode()


def _messages(system: System) -> Iterator[Message]:
    """Everything that stands on any topic."""
    consumer = kafka.consumer(system.settings, "vedette-invariants", **{"enable.partition.eof": True})
    places = [
        TopicPartition(name, partition, OFFSET_BEGINNING)
        for name, topic in consumer.list_topics(timeout=10).topics.items()
        for partition in topic.partitions
        if not name.startswith("__")
    ]
    consumer.assign(places)
    ended = 0
    while ended < len(places):
        for message in consumer.consume(1000, timeout=1):
            if message.error():
                ended += 1
            else:
                yield message
    consumer.close()
