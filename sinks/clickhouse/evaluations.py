"""What a rule evaluates, out of ClickHouse: the subjects of its scorers and of spans, in the order in which the fold wants them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from schemas.documents.rule import AttributeValue, Condition, MetricValue, RuleSpec, ScorerIs, ScorerValue, TagIs
from sinks.clickhouse.client import ClickHouse

# ruff: noqa: S608 - what is put together here are constants and numbers; every value is bound on the server
_OUTCOME = {"fails": "fail", "succeeds": "pass", "errors": "error"}
_METRIC = {
    "duration_ms": "duration_us / 1000",
    "cost_usd": "cost_usd",
    "tokens": "if(isNull(input_tokens) AND isNull(output_tokens), NULL, ifNull(input_tokens, 0) + ifNull(output_tokens, 0))",
    "error": "toFloat64(status = 'error')",
}
_FILTER = {"span_name": ("span_name", "name"), "span_kind": ("span_kind", "kind")}
"""Fields whose columns have different names in `scores` and in `spans`."""
_GROUP = {"agent": "agent", "customer": "customer_id", "session": "session_id"}
_ORDER = "ORDER BY at, id"


@dataclass
class Bound:
    """The values of a statement; each is bound on the server under a name of its own."""

    values: dict[str, Any] = field(default_factory=dict)

    def __call__(self, value: float | str) -> str:
        """Returns the placeholder of a value."""
        name = f"v{len(self.values)}"
        self.values[name] = value
        return f"{{{name}:{'String' if isinstance(value, str) else 'Float64'}}}"


def evaluations(
    clickhouse: ClickHouse, project: str, spec: RuleSpec, since: int, until: int
) -> Iterator[Sequence[Sequence[Any]]]:
    """Yields blocks of columns: ingest time in milliseconds, kind, id, whether it matched, and a column for each group_by.

    They come in the order of (ingest time, subject id), of subjects ingested from `since` to before `until`. Subjects that did not
    match are left out unless the rule needs them. A score that was amended since shows only its newest verdict, which no rule saw.

    Raises:
        Transient: the server is away or overloaded.
        Permanent: it will never answer this.
    """
    statement, values = query(spec)
    given = {"project": project, "since": since, "until": until, **values}
    yield from clickhouse.column_blocks(statement, given)


def query(spec: RuleSpec) -> tuple[str, dict[str, Any]]:
    """Returns the statement for a rule and the values that it binds, without project, since and until."""
    bound = Bound()
    selects = [_select(spec, index, one, bound) for index, one in enumerate(spec.when.conditions)]
    rows = " UNION ALL ".join(selects)
    if len(spec.when.all) > 1:
        rows = _of_all(spec, rows)
    elif spec.per == "trace":
        rows = _of_traces(spec, rows)
    columns = ", ".join(("at", "kind", "id", "matched", *_group_names(spec)))
    return f"SELECT {columns} FROM ({rows}) WHERE matched {_ORDER}", bound.values


def _select(spec: RuleSpec, index: int, condition: Condition, bound: Bound) -> str:
    """The subjects that may satisfy one condition, out of the table that holds them."""
    of_scores = isinstance(condition, ScorerIs | ScorerValue)
    groups = [f"{_group(name, of_scores=of_scores)} AS g{n}" for n, name in enumerate(spec.group_by)]
    identity = ("subject_kind", "subject_id") if of_scores else ("'span'", "concat(trace_id, ':', span_id)")
    columns = ", ".join(
        [
            "toUnixTimestamp64Milli(t.ingested_at) AS at",
            f"toString({identity[0]}) AS kind",
            f"{identity[1]} AS id",
            "trace_id AS trace",
            f"{index} AS condition",
            f"toUInt8(ifNull({_satisfied(condition, bound)}, 0)) AS matched",
            *groups,
        ]
    )
    where = " AND ".join([*_scope(condition, bound), *_filter(spec, bound, of_scores=of_scores)])
    table = "scores" if of_scores else "spans"
    return f"SELECT {columns} FROM {{ours:Identifier}}.{table} AS t FINAL WHERE {where}"


def _scope(condition: Condition, bound: Bound) -> Iterator[str]:
    yield "project = {project:String} AND origin = 'online'"
    yield "t.ingested_at >= fromUnixTimestamp64Milli({since:Int64}, 'UTC')"
    yield "t.ingested_at < fromUnixTimestamp64Milli({until:Int64}, 'UTC')"
    if isinstance(condition, ScorerIs | ScorerValue):
        yield f"attempt = 0 AND scorer = {bound(condition.scorer)}"
    else:
        yield "NOT partial AND run_id = ''"


def _filter(spec: RuleSpec, bound: Bound, *, of_scores: bool) -> Iterator[str]:
    for name, value in spec.filter.given:
        column = _FILTER.get(name, (name, name))[0 if of_scores else 1]
        yield f"t.{column} = {bound(value)}"  # an alias of the select would come first


def _group(name: str, *, of_scores: bool) -> str:
    if name in _GROUP:
        return f"toString({_GROUP[name]})"
    attributes = "attributes" if of_scores else "attrs"
    return f"{attributes}['{_quoted(name.removeprefix('attribute:'))}']"


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace("'", "\\'")


def _satisfied(condition: Condition, bound: Bound) -> str:
    """The same question as `streams.logic.conditions.satisfied` asks, in SQL; an integration test holds the two together."""
    match condition:
        case ScorerIs():
            return f"outcome = {bound(_OUTCOME[condition.is_])}"
        case ScorerValue():
            return f"value {_op(condition.op)} {bound(condition.value)}"
        case MetricValue():
            return f"({_METRIC[condition.metric]}) {_op(condition.op)} {bound(condition.value)}"
        case AttributeValue():
            return _attribute(condition, bound)
        case TagIs():
            return f"has(tags, {bound(condition.tag)})"


def _attribute(condition: AttributeValue, bound: Bound) -> str:
    text, op = f"attrs[{bound(condition.attribute)}]", _op(condition.op)
    present = f"mapContains(attrs, {bound(condition.attribute)})"
    if isinstance(condition.value, bool):
        return f"{present} AND lower({text}) {op} {bound(str(condition.value).lower())}"
    if isinstance(condition.value, str):
        return f"{present} AND {text} {op} {bound(condition.value)}"
    return f"{present} AND toFloat64OrNull(trimBoth({text})) {op} {bound(float(condition.value))}"


def _op(op: str) -> str:
    return "=" if op == "==" else op


def _group_names(spec: RuleSpec) -> list[str]:
    return [f"g{n}" for n, _ in enumerate(spec.group_by)]


def _of_traces(spec: RuleSpec, rows: str) -> str:
    """Each trace once, with its first match."""
    first = "".join(f", argMin({g}, (at, id)) AS {g}" for g in _group_names(spec))
    return (
        f"SELECT min(r.at) AS at, if(trace = '', any(r.kind), 'trace') AS kind, if(trace = '', r.id, trace) AS id, 1 AS matched{first} "
        f"FROM ({rows}) AS r WHERE matched GROUP BY trace, if(trace = '', r.id, '')"
    )


def _of_all(spec: RuleSpec, rows: str) -> str:
    """Each trace that satisfies all conditions, when the last one came, in the group of the first."""
    times = ", ".join(f"minIf(r.at, condition = {n})" for n, _ in enumerate(spec.when.all))
    groups = "".join(f", argMinIf({g}, (r.at, r.id), condition = 0) AS {g}" for g in _group_names(spec))
    return (
        f"SELECT greatest({times}) AS at, 'trace' AS kind, trace AS id, 1 AS matched{groups} "
        f"FROM ({rows}) AS r WHERE matched AND trace != '' GROUP BY trace HAVING uniqExact(condition) = {len(spec.when.all)}"
    )


def amended(clickhouse: ClickHouse, project: str, since: int) -> set[str]:
    """Returns the ids of subjects whose verdict or span changed after rules saw it; ingested from `since` on. Raises as `evaluations` does."""
    return {row[0] for row in clickhouse.rows(_AMENDED, {"project": project, "since": since})}


_AMENDED = """
SELECT subject_id FROM {ours:Identifier}.scores FINAL
WHERE project = {project:String} AND attempt > 0 AND ingested_at >= fromUnixTimestamp64Milli({since:Int64}, 'UTC')
UNION DISTINCT
SELECT concat(trace_id, ':', span_id) FROM {ours:Identifier}.spans FINAL
WHERE project = {project:String} AND revision > 0 AND ingested_at >= fromUnixTimestamp64Milli({since:Int64}, 'UTC')
"""


def last_firings(clickhouse: ClickHouse, project: str, rule: str, after: int, before: int) -> dict[str, int]:
    """Returns the time of the last firing by group key, of those between two times in milliseconds. Raises as `evaluations` does."""
    given = {"project": project, "rule": rule, "after": after, "before": before}
    return {str(group): int(at) for group, at in clickhouse.rows(_FIRINGS, given)}


_FIRINGS = """
SELECT group_key, max(toUnixTimestamp64Milli(c.changed_at)) FROM {ours:Identifier}.alert_changes AS c FINAL
WHERE project = {project:String} AND rule = {rule:String} AND kind IN ('fired', 'renotified')
  AND c.changed_at > fromUnixTimestamp64Milli({after:Int64}, 'UTC') AND c.changed_at < fromUnixTimestamp64Milli({before:Int64}, 'UTC')
GROUP BY group_key
"""
