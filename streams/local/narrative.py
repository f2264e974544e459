"""What the foreground of `vedette up` tells: a few calm lines about what arrives, what fires and who is told."""

from __future__ import annotations

import email
import email.policy
import json
import threading
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from streams.cli.client import ApiError, Client
from streams.local import demo
from streams.local.datadir import DataDir
from streams.local.facts import ADMIN_KEY, Facts
from streams.local.ports import LOOPBACK
from streams.local.stack import recorded

LOOK_EVERY_S = 1.0
COUNTS_EVERY_S = 15.0
SANDBOX_TRIES, SANDBOX_WITHIN_S = 60, 180.0

_COUNTS = """
SELECT (SELECT uniqExact(trace_id, span_id) FROM {database}.spans WHERE project = '{project}') AS spans,
  (SELECT uniqExact(score_id) FROM {database}.scores WHERE project = '{project}') AS scores,
  (SELECT uniqExact(score_id) FROM {database}.scores WHERE project = '{project}' AND outcome = 'fail') AS fails
FORMAT JSONEachRow
"""
_HELD_BACK = """
SELECT uniqExact(score_id) AS held FROM {database}.scores
WHERE project = '{project}' AND outcome = 'fail' AND toUnixTimestamp64Milli(ingested_at) > {after} FORMAT JSONEachRow
"""

Tell = Callable[[str], None]


@dataclass
class Record:
    """A file of JSON lines that a stand-in writes, read on from where it was left."""

    file: Path
    position: int = 0

    def new(self) -> list[dict[str, Any]]:
        """Returns the entries that were added since the last call."""
        if not self.file.exists():
            return []
        with self.file.open("rb") as lines:
            lines.seek(self.position)
            text = lines.read()
        whole = text[: text.rfind(b"\n") + 1]
        self.position += len(whole)
        return [json.loads(line) for line in whole.splitlines()]

    def skip(self) -> None:
        """Forgets what an earlier run wrote."""
        self.position = self.file.stat().st_size if self.file.exists() else 0


def follow(known: Facts, data: DataDir, tell: Tell) -> None:
    """Tells what happens until the caller is interrupted."""
    tell(where(known, data))
    story = Demo(known, data, tell) if known.demo else None
    jobs = Jobs(data, tell)
    threading.Thread(target=tell_sandbox, args=(data, tell), daemon=True, name="sandbox").start()
    while True:
        jobs.look()
        if story is not None:
            story.look(time.time())
        time.sleep(LOOK_EVERY_S)


def where(known: Facts, data: DataDir) -> str:
    """Returns where to look."""
    project = demo.PROJECT if known.demo else known.project
    query = f"SELECT agent, outcome, count() FROM {known.clickhouse_database}.scores FINAL WHERE project = '{project}' GROUP BY ALL"  # noqa: S608 - shown, not run
    login = f"{known.clickhouse_user}:$(cat {known.clickhouse_password_file})"
    return f"""\
agents report to  {known.otlp_http}
the api           {known.api}/api/v1/openapi.json   admin key in {data.path / ADMIN_KEY}
Kafka             {known.kafka}
logs              {data.logs}
analytics, for example:
  curl -s -u "{login}" {known.clickhouse_read_url} --data-binary "{query}"

Ctrl-C stops everything; the data stay in {data.path}.
"""


@dataclass
class Jobs:
    """Tells when a job goes down and when it is back."""

    data: DataDir
    tell: Tell
    _states: dict[str, str] = field(default_factory=dict)

    def look(self) -> None:
        """Compares the states of all processes with those at the last look."""
        for name, process in recorded(self.data)["processes"].items():
            before, now = self._states.get(name, "running"), process["state"]
            self._states[name] = now
            if now != before:
                hint = "" if now == "running" else f"; see {self.data.logs / name}.log"
                self.tell(f"{_clock(time.time())}  {name} is {now}{hint}")


@dataclass
class Demo:
    """Tells the story of the demo: failures, one alert, its messages, the quiet after it."""

    known: Facts
    data: DataDir
    tell: Tell
    _counted_at: float = 0.0
    _told: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._slack = Record(self.data.path / demo.SLACK_RECORD)
        self._mail = Record(self.data.path / demo.MAIL_RECORD)
        for record in (self._slack, self._mail):
            record.skip()
        self._api = Client(self.known.api, (self.data.path / ADMIN_KEY).read_text().strip(), timeout_s=3)
        self.tell(f"a customer-service agent answers now; the rule {demo.RULE!r} waits for 3 failures in 5 minutes\n")

    def look(self, now: float) -> None:
        """Tells what is new."""
        self._alert()
        for call in self._slack.new():
            if call["method"].startswith("chat."):
                self.tell(f"{_clock(call['time'])}  Slack {call['arguments'].get('channel')}: {slack_text(call)}")
        for mail in self._mail.new():
            self.tell(f"{_clock(mail['time'])}  mail to {', '.join(mail['recipients'])}: {subject(mail['text'])}")
        if now - self._counted_at >= COUNTS_EVERY_S:
            self._counted_at = now
            self._count(now)

    def _alert(self) -> None:
        for alert in self._alerts():
            state = (alert["alert_id"], alert["kind"], alert["change"])
            if self._told.get("alert") != state:
                self._told["alert"] = state
                self.tell(alert_text(alert))

    def _alerts(self) -> list[dict[str, Any]]:
        try:
            found: list[dict[str, Any]] = self._api.get("/api/v1/alerts", project=demo.PROJECT)["alerts"]
        except ApiError:
            return []
        self._told["newest"] = found[0] if found else None
        return found[:1]

    def _count(self, now: float) -> None:
        counts = self._ask(_COUNTS.format(database=self.known.clickhouse_database, project=demo.PROJECT))
        if counts is None:
            return
        line = f"{_clock(now)}  {counts['spans']} spans, {counts['scores']} scores, {counts['fails']} failures"
        self.tell(line + self._held_back(now))

    def _held_back(self, now: float) -> str:
        """What the cooldown keeps quiet."""
        alert = self._told.get("newest")
        if not alert or alert["cooldown_until"] <= now * 1000:
            return ""
        database, after = self.known.clickhouse_database, alert["changed_at"]
        held = self._ask(_HELD_BACK.format(database=database, project=demo.PROJECT, after=after))
        until = _clock(alert["cooldown_until"] / 1000)
        return f"; the cooldown holds {held['held']} of them back until {until}" if held else ""

    def _ask(self, query: str) -> dict[str, Any] | None:
        """The first row of a query as numbers, None when ClickHouse does not answer."""
        password = Path(self.known.clickhouse_password_file).read_text().strip()
        headers = {"X-ClickHouse-User": self.known.clickhouse_user, "X-ClickHouse-Key": password}
        request = urllib.request.Request(self.known.clickhouse_read_url, query.encode(), headers)  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=3) as answer:  # noqa: S310
                row: dict[str, Any] = json.loads(answer.readline())
        except (OSError, ValueError):
            return None
        return row


def tell_sandbox(data: DataDir, tell: Tell) -> None:
    """Tells which sandbox uploaded scorers run in, once the runner has tried it, or what to install. Blocks until then."""
    port = (data.path / "runner.port").read_text().strip()
    for _ in range(SANDBOX_TRIES):
        try:
            with urllib.request.urlopen(f"http://{LOOPBACK}:{port}/sandbox", timeout=SANDBOX_WITHIN_S) as answer:
                tell(f"uploaded scorers: {json.load(answer)['told']}")
            return
        except OSError:
            time.sleep(1)


def alert_text(alert: dict[str, Any]) -> str:
    """Returns one line about the newest change of an alert, with the time of the change."""
    when = _clock(alert["changed_at"] / 1000)
    return f"{when}  alert {alert['kind']}: {alert['rule']} {alert['group_key']}: {alert['cause']}"


def slack_text(call: dict[str, Any]) -> str:
    """Returns the text of a Slack message as a phone shows it."""
    arguments = call["arguments"]
    attachments = arguments.get("attachments") or [{}]
    return " ".join(str(arguments.get("text") or attachments[0].get("fallback") or "").split())


def subject(text: str) -> str:
    """Returns the subject of a mail."""
    return str(email.message_from_string(text, policy=email.policy.default)["subject"])


def _clock(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).astimezone().strftime("%H:%M:%S")
