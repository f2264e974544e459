"""What is judged: filters that nothing passes, context that filters and groups miss, and what scorers had to skip.

Counted in ClickHouse over the last day, online traffic only.
"""

# ruff: noqa: S608 - what is put together here are names of columns; every value is bound on the server

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from schemas.documents.rule import AttributeIn, AttributeValue, MetricValue, RuleSpec, TagIs
from schemas.documents.scorer import Filter, ScorerSpec
from sinks.clickhouse.client import ClickHouse
from streams.doctor.installation import Installation
from streams.doctor.result import Result, finding, ok
from streams.doctor.words import share
from streams.logic.conditions import verdicts_of

WITHIN_A_DAY = "ingested_at > now() - INTERVAL 1 DAY"
LAST_DAY = f"origin = 'online' AND {WITHIN_A_DAY}"
TABLES = {"span": "spans", "trace": "traces", "example": "examples"}
"""Where what a scorer judges by itself stands; `traces` is a view of online traffic."""
LEAST_ABSENT = 0.01
"""A smaller share of subjects without a context is no finding."""
SHOWN = 10

ON_SPANS = {"span_name": "name", "span_kind": "kind"}
"""Fields of a subject that a table of spans calls otherwise."""
UNTOLD = {("traces", "agent_version")}
"""What a table does not have though its subjects do: not looked at."""
SUPPLIES: Mapping[str, str] = {
    "agent": "set `gen_ai.agent.name` on the agent's spans, or `agent` on examples; children inherit it within one export",
    "agent_version": "set `gen_ai.agent.version` on the agent's spans, or leave `agent_version` out of the filter",
    "environment": "set OTEL_RESOURCE_ATTRIBUTES=deployment.environment.name=… in the agent's environment",
    "customer_id": "set `user.id` (or `vedette.customer_id`) on the spans, or `customer_id` on examples",
    "session_id": "set `session.id` (or `gen_ai.conversation.id`) on the spans, or `session_id` on examples",
}
"""What puts a context on subjects."""
NAMES = {"customer_id": "customer", "session_id": "session", "span_name": "span", "span_kind": "kind"}
"""Fields of a subject that documents call otherwise."""

_SKIPPED = f"""
SELECT project, scorer, outcome, reason, count() AS n FROM {{ours:Identifier}}.scores FINAL
WHERE outcome IN ('skipped', 'error') AND {LAST_DAY} GROUP BY project, scorer, outcome, reason ORDER BY n DESC LIMIT {{most:UInt32}}
"""


@dataclass(frozen=True)
class Field:
    """One field that a filter or a group asks for."""

    name: str
    """Of a subject, or `attribute:KEY`."""
    wanted: str | None
    """None: a group takes any value."""


@dataclass(frozen=True)
class Count:
    """What subjects of a day have, seen from one filter."""

    total: int
    passing: int
    with_value: Mapping[str, int]
    """By field: subjects that have the wanted value."""
    missed: Mapping[str, int]
    """By field: subjects that pass all the other fields and lack this one."""


def fields_of(wanted: Filter, group_by: Sequence[str] = ()) -> tuple[Field, ...]:
    """Returns the fields that a filter and a group ask for, those of the filter first."""
    of_filter = {name: Field(name, value) for name, value in wanted.given}
    subjects = {short: name for name, short in NAMES.items()}
    groups = (subjects.get(name, name) for name in group_by)
    return (*of_filter.values(), *(Field(name, None) for name in groups if name not in of_filter))


def scorers(place: Installation) -> Iterator[Result]:
    """Scorers whose filter nothing passed in the last day though there were subjects."""
    bad, looked = 0, 0
    with place.clickhouse() as clickhouse:
        for document in place.newest("Scorer"):
            spec = ScorerSpec.model_validate_json(document.spec)
            for online in spec.online if spec.enabled else ():
                table = TABLES[online.target]
                fields = tuple(one for one in fields_of(online.filter) if (table, one.name) not in UNTOLD)
                counted = count(clickhouse, table, document.project, fields)
                what = f"scorer {document.name!r} of project {document.project}"
                results = list(judged(what, f"{online.target}s", fields, counted))
                bad, looked = bad + len(results), looked + 1
                yield from results
    if not bad:
        yield ok("filters of scorers", f"{looked} looked at; each takes something of what came")


def rules(place: Installation) -> Iterator[Result]:
    """Rules whose filter or group found absent context in the last day."""
    bad, looked = 0, 0
    with place.clickhouse() as clickhouse:
        for document in place.newest("Rule"):
            spec = RuleSpec.model_validate_json(document.spec)
            fields = fields_of(spec.filter, spec.group_by)
            for table, only in universes(spec) if spec.enabled and fields else ():
                counted = count(clickhouse, table, document.project, fields, only)
                results = list(judged(f"rule {document.name!r} of project {document.project}", table, fields, counted))
                bad, looked = bad + len(results), looked + 1
                yield from results
    if not bad:
        yield ok("filters and groups of rules", f"{looked} looked at; each finds its context")


def skipped(place: Installation) -> Iterator[Result]:
    """What scorers skipped or failed at most often in the last day, with the setting that supplies what was lacking."""
    with place.clickhouse() as clickhouse:
        found = clickhouse.rows(_SKIPPED, {"most": SHOWN})
    for project, scorer, outcome, reason, number in found:
        value, _, remedy = str(reason).partition("; ")
        fix = remedy or f"`vedette tail scores --no-follow -n 3 --scorer '{scorer}' --outcome {outcome}` shows some"
        yield finding(f"scorer {scorer!r} of project {project}: {number:,} {outcome}", value[:300], fix)
    if not found:
        yield ok("scores", "none skipped, no errors in the last day")


def universes(spec: RuleSpec) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Returns the tables whose rows a rule's conditions look at; of scores, those of which scorers."""
    names = tuple(sorted({scorer for condition in spec.when.conditions for scorer, _ in verdicts_of(condition)}))
    if names:
        yield "scores", names
    if any(
        isinstance(condition, MetricValue | AttributeValue | AttributeIn | TagIs) for condition in spec.when.conditions
    ):
        yield "spans", ()


def count(
    clickhouse: ClickHouse, table: str, project: str, fields: Sequence[Field], scorers: Sequence[str] = ()
) -> Count:
    """Counts the subjects of the last day: how many pass all fields, have each, lack each. Raises as `ClickHouse.rows` does."""
    parameters: dict[str, Any] = {"project": project, "scorers": list(scorers)}
    columns = [_column(table, one, number, parameters) for number, one in enumerate(fields)]
    has = [
        f"{{v{number}:String}} = {column}" if one.wanted is not None else "1"
        for number, (one, column) in enumerate(zip(fields, columns, strict=True))
    ]
    for number, one in enumerate(fields):
        parameters[f"v{number}"] = one.wanted or ""
    asked = ["count()", f"countIf({' AND '.join(has) or '1'})", *(f"countIf({one})" for one in has)]
    for number, column in enumerate(columns):
        others = " AND ".join([*has[:number], *has[number + 1 :], f"{column} = ''"])
        asked.append(f"countIf({others})")
    only = {"scores": "AND scorer IN {scorers:Array(String)}", "spans": "AND NOT partial"}.get(table, "")
    when = WITHIN_A_DAY if table == "traces" else LAST_DAY
    query = f"SELECT {', '.join(asked)} FROM {{ours:Identifier}}.{table} WHERE project = {{project:String}} AND {when} {only}"
    total, passing, *rest = (int(number) for number in clickhouse.rows(query, parameters)[0])
    names = [one.name for one in fields]
    return Count(
        total, passing, dict(zip(names, rest, strict=False)), dict(zip(names, rest[len(names) :], strict=True))
    )


def _column(table: str, one: Field, number: int, parameters: dict[str, Any]) -> str:
    if one.name.startswith("attribute:"):
        parameters[f"k{number}"] = one.name.removeprefix("attribute:")
        return f"{'attrs' if table == 'spans' else 'attributes'}[{{k{number}:String}}]"
    if table == "examples" and one.name in ON_SPANS:
        return "''"  # an example has no such field
    return ON_SPANS.get(one.name, one.name) if table in ("spans", "traces") else one.name


def judged(what: str, subjects: str, fields: Sequence[Field], found: Count) -> Iterator[Result]:
    """Returns what a count tells of a filter: that nothing passes it, or which context it misses."""
    if not found.total:
        return
    missed = [one for one in fields if found.missed[one.name] >= LEAST_ABSENT * found.total and found.missed[one.name]]
    for one in missed:
        name = NAMES.get(one.name, one.name)
        does = "would pass its filter otherwise" if one.wanted is not None else "fall into the group ''"
        value = f"{share(found.missed[one.name], found.total)} {subjects} of the last day lack it and {does}"
        yield finding(f"{what} misses {name}", value, supply(one))
    if not found.passing and not missed:
        told = ", ".join(
            f"{NAMES.get(one.name, one.name)} {one.wanted!r}: {found.with_value[one.name]:,}" for one in fields
        )
        value = f"none of {found.total:,} {subjects} of the last day passes its filter ({told})"
        yield finding(f"{what} takes nothing", value, "correct its filter, or what the agents send")


def supply(one: Field) -> str:
    """Returns what puts a field on subjects."""
    if one.name.startswith("attribute:"):
        return f"put the attribute {one.name.removeprefix('attribute:')!r} on the spans"
    return SUPPLIES.get(one.name, "leave it out of the filter: examples have no such field")
