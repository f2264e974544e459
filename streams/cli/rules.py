"""`vedette rules`: rules in effect, tests of rules, and when they would have fired."""

# ruff: noqa: PLC0415 - a command imports what it needs when it runs: starting stays fast

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streams.cli import context
from streams.cli.alerts import clock
from streams.cli.context import DataDirOption, OutputOption, ProjectOption
from streams.cli.dlq import since_of
from streams.cli.failure import FINDINGS, USAGE, Failure
from streams.cli.output import show, talk

if TYPE_CHECKING:
    from schemas.documents.rule import Rule
    from streams.history.backtest import Backtest
    from streams.history.over_scores import Progress
    from streams.history.rule_tests import RuleTests
    from streams.logic.rules import RuleVersion
    from streams.settings import Settings

LS = ("project", "name", "enabled", "times", "within", "cooldown", "severity", "open", "version")
BACKTEST = ("rule", "version", "evaluated", "groups", "alerts", "renotified", "resolved", "suppressed")
TOLD = ("at", "rule", "version", "kind", "group_key", "subjects", "suppressed", "cause")
NEWEST = 20


def ls(project: ProjectOption = None, output: OutputOption = "table", data_dir: DataDirOption = None) -> None:
    """Lists rules, with how many of their alerts are open."""
    api = context.api(data_dir)
    found = api.get("/api/v1/documents", kind="rule", project=project)["documents"]
    open_ones = [
        (alert["project"], alert["rule"])
        for alert in api.get("/api/v1/alerts", state="open", project=project)["alerts"]
    ]
    rows = [{**_row(one), "open": open_ones.count(_place(one["document"]))} for one in found]
    show(rows, rows, LS, output)


def _row(one: dict[str, Any]) -> dict[str, Any]:
    return {**one["document"]["spec"], **one["document"]["metadata"], "version": one["version"]}


def _place(document: dict[str, Any]) -> tuple[str, str]:
    return document["metadata"]["project"], document["metadata"]["name"]


def run_tests(
    files: Annotated[list[Path], typer.Argument(help="YAML files of tests; docs/backtests.md")],
    output: OutputOption = "table",
) -> None:
    """Plays events against rules and compares what they tell with what is expected; exit code 1 when they differ."""
    from streams.history.rule_tests import run

    ended = []
    for file in files:
        tests = _tests(file)
        rules = {rule.metadata.name: rule for name in tests.rules for rule in _rules([file.parent / name])}
        for one in tests.tests:
            if one.rule not in rules:
                raise Failure(f"{file}: test {one.name!r} is of rule {one.rule!r}; its files hold {', '.join(rules)}")
            ended.append((file, run(one, rules[one.rule].spec)))
    rows = [
        {
            "file": str(file),
            "test": one.test,
            "result": "failed" if one.problems else "passed",
            "problems": one.problems,
        }
        for file, one in ended
    ]
    show(rows, rows, ("result", "file", "test"), output)
    for row in rows:
        for problem in row["problems"]:
            talk(f"{row['file']}: {row['test']}: {problem}")
    if any(row["problems"] for row in rows):
        raise typer.Exit(1)


def _tests(file: Path) -> "RuleTests":
    from pydantic import ValidationError

    from streams.document_files import Unreadable, read
    from streams.documents import problems
    from streams.history.rule_tests import RuleTests

    try:
        sources = read([file])
    except Unreadable as error:
        raise Failure(str(error)) from error
    if len(sources) != 1:
        raise Failure(f"{file}: one document with `rules` and `tests` is expected, there are {len(sources)}")
    data = sources[0].data()
    try:
        return RuleTests.model_validate(data)
    except ValidationError as error:
        found = problems(data, error, RuleTests.model_json_schema())
        raise Failure("\n".join(sources[0].explain(problem) for problem in found)) from error


def _rules(files: list[Path]) -> "list[Rule]":
    from schemas.documents.rule import Rule
    from streams.cli.configuration import read_documents

    return [document for document in read_documents(files) if isinstance(document, Rule)]


def backtest(
    files: Annotated[list[Path], typer.Argument(help="YAML files with rules; versions of one rule stand side by side")],
    since: Annotated[str, typer.Option("--since", help="so long ago (90s, 10m, 2h, 3d)")] = "7d",
    live: Annotated[bool, typer.Option("--live", help="and the rules of these names as they are in effect")] = False,  # noqa: FBT002
    project: ProjectOption = None,
    output: OutputOption = "table",
    data_dir: DataDirOption = None,
) -> None:
    """Shows when rules would have fired over what is stored, for whom, and how often they would have been quiet."""
    settings, until = context.settings(data_dir), time.time_ns() // 1_000_000
    begin = _begin(settings, since, until)
    versions = [(str(file), _version(rule, project, begin)) for file in files for rule in _rules([file])]
    if not versions:
        raise Failure(f"{', '.join(map(str, files))}: no rules", USAGE)
    if live:
        versions += _in_effect(settings, [version for _, version in versions])
    played = [(name, version, _played(settings, version, begin, until)) for name, version in versions]
    _show(played, output)


def _begin(settings: "Settings", since: str, until: int) -> int:
    from schemas.documents.base import format_duration
    from streams.logic.retention import parse

    begin = since_of(since)
    kept = parse(settings.retention).ms["scores"]
    if begin < until - kept:
        earliest = clock(until - kept)
        raise Failure(
            f"--since {since}: scores are kept for {format_duration(kept)}; the earliest is {earliest}", USAGE
        )
    return begin


def _version(rule: "Rule", project: str | None, since: int) -> "RuleVersion":
    """A rule as if it had taken effect when the back-test begins, whether it is enabled or not."""
    from schemas.documents.base import canonical_spec, spec_version
    from streams.logic.rules import RuleVersion

    version = spec_version(canonical_spec(rule.spec))
    spec = rule.spec.model_copy(update={"enabled": True})
    return RuleVersion(project or rule.metadata.project, rule.metadata.name, version, spec, effective_at=since)


def _in_effect(settings: "Settings", versions: "list[RuleVersion]") -> "list[tuple[str, RuleVersion]]":
    from streams.history.recorded import Topics
    from streams.logic.in_effect import rule_at

    with Topics(settings) as topics:
        configuration = topics.configuration()
    now = time.time_ns() // 1_000_000
    places = dict.fromkeys((version.project, version.name) for version in versions)
    found = [rule_at(configuration, project, name, now) for project, name in places]
    return [("in effect", version) for version in found if version is not None]


def _played(settings: "Settings", version: "RuleVersion", since: int, until: int) -> "Backtest":
    from sinks.clickhouse.client import connect
    from sinks.sink import Permanent, Transient
    from streams.history.over_scores import backtest as play

    def run() -> "Backtest":
        server = connect(settings.clickhouse_url.get_secret_value(), settings.clickhouse_database)
        try:
            with _progress(version.name, since, until) as progress:
                return play(server, version, since, until, progress)
        finally:
            server.close()

    played: Backtest = context.told(run, Transient, Permanent, ValueError)
    return played


@contextmanager
def _progress(name: str, since: int, until: int) -> "Iterator[Progress]":
    """A bar on stderr, on a terminal only."""
    from rich.console import Console
    from rich.progress import Progress as Bar

    console = Console(stderr=True)
    with Bar(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(name, total=until - since)
        yield lambda at: bar.update(task, completed=max(at - since, 0))


def _show(played: "list[tuple[str, RuleVersion, Backtest]]", output: str) -> None:
    from streams.history.backtest import summary

    rows = [{"rule": version.name, "version": name, **summary(play)} for name, version, play in played]
    told = [
        {"rule": version.name, "version": name, **change.model_dump(mode="json"), "at": clock(change.changed_at)}
        for name, version, play in played
        for change in sorted(play.changes, key=lambda change: change.changed_at)
    ]
    if output != "table":
        show({"rules": rows, "changes": told}, rows, BACKTEST, output)
        return
    show(rows, rows, BACKTEST, output)
    newest = sorted(told, key=lambda row: row["at"])[-NEWEST:]
    if newest:
        talk(f"\nthe newest {len(newest)} of {len(told)} changes; --output json tells all")
        show(newest, newest, TOLD, output)


def audit(
    rule: Annotated[str, typer.Option("--rule", help="name of the rule")],
    since: Annotated[str, typer.Option("--since", help="so long ago (90s, 10m, 2h, 3d)")] = "1d",
    project: Annotated[str, typer.Option("--project", "-p")] = "default",
    output: OutputOption = "table",
    data_dir: DataDirOption = None,
) -> None:
    """Compares what a rule did with what it says: scores, rule events, alert changes and deliveries; exit code 3 when they differ."""
    from dataclasses import asdict

    from sinks.clickhouse.client import connect
    from sinks.sink import Permanent, Transient
    from streams.cli import reader
    from streams.history.audit import Report
    from streams.history.auditor import Auditor
    from streams.history.recorded import Topics

    settings, begin = context.settings(data_dir), since_of(since)

    def run() -> Report:
        server = connect(settings.clickhouse_url.get_secret_value(), settings.clickhouse_database)
        with Topics(settings) as topics:
            return Auditor(topics, server, project, rule, begin, time.time_ns() // 1_000_000).run()

    report = context.told(run, Transient, Permanent, ValueError, LookupError, reader.NoTopic, reader.Silent)
    for remark in report.remarks:
        talk(f"not compared: {remark}")
    talk(", ".join(f"{number} {name}" for name, number in report.compared.items()) + " compared")
    rows = [asdict(finding) for finding in report.findings]
    data = {"compared": report.compared, "findings": rows, "remarks": report.remarks}
    show(data, rows, ("check", "problem", "group_key", "what", "detail"), output)
    if rows:
        raise typer.Exit(FINDINGS)
