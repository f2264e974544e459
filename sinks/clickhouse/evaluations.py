"""What a rule evaluates, out of ClickHouse: the subjects of its scorers and of spans, in the order in which the fold wants them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from schemas.documents.rule import (
    GROUPS,
    AttributeIn,
    AttributeValue,
    BucketIs,
    Condition,
    MetricValue,
    RuleSpec,
    ScorerIn,
    ScorerIs,
    ScorerValue,
    TagIs,
)
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
_ON_DISK = "max_bytes_before_external_sort = 268435456, max_bytes_before_external_group_by = 268435456"
"""What does not fit into a quarter of a gigabyte is sorted and grouped on the server's disk."""
_OF_SCORES = (ScorerIs, ScorerValue, ScorerIn)
_JUDGED = "outcome IN ('pass', 'fail', 'scored')"


@dataclass
class Bound:
    """The values of a statement; each is bound on the server under a name of its own."""

    values: dict[str, Any] = field(default_factory=dict)

    def __call__(self, value: float | str | Sequence[str]) -> str:
        """Returns the placeholder of a value."""
        name = f"v{len(self.values)}"
        self.values[name] = value if isinstance(value, str | float | int) else list(value)
        kind = "String" if isinstance(value, str) else "Float64" if isinstance(value, float | int) else "Array(String)"
        return f"{{{name}:{kind}}}"


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
    rows = " UNION ALL ".join(_select(spec, number, one, bound) for number, one in enumerate(spec.when.conditions))
    rows = _gathered(spec, rows) if spec.when.is_gathered else _one_by_one(spec, rows)
    columns = ", ".join(("at", "kind", "id", "matched", *_group_names(spec)))
    wanted = "1" if spec.needs_unmatched else "matched"
    return f"SELECT {columns} FROM ({rows}) WHERE {wanted} ORDER BY at, id SETTINGS {_ON_DISK}", bound.values


def _select(spec: RuleSpec, number: int, condition: Condition, bound: Bound) -> str:
    """The subjects that one condition looks at, out of the table that holds them. Aliases come before columns: those have a `t.`."""
    of_scores = isinstance(condition, _OF_SCORES)
    identity = ("subject_kind", "subject_id") if of_scores else ("'span'", "concat(t.trace_id, ':', t.span_id)")
    columns = [
        "toUnixTimestamp64Milli(t.ingested_at) AS at",
        f"toString({identity[0]}) AS kind",
        f"{identity[1]} AS id",
        "t.trace_id AS trace",
        f"{number} AS condition",
        f"toUInt8(ifNull({_satisfied(condition, bound)}, 0)) AS matched",
        *(f"{_group(name, of_scores=of_scores)} AS g{n}" for n, name in enumerate(spec.group_by)),
    ]
    where = " AND ".join([*_scope(condition, bound), *_filter(spec, bound, of_scores=of_scores)])
    table = "scores" if of_scores else "spans"
    return f"SELECT {', '.join(columns)} FROM {{ours:Identifier}}.{table} AS t FINAL WHERE {where}"


def _scope(condition: Condition, bound: Bound) -> Iterator[str]:
    yield "t.project = {project:String} AND origin = 'online'"
    yield "t.ingested_at >= fromUnixTimestamp64Milli({since:Int64}, 'UTC')"
    yield "t.ingested_at < fromUnixTimestamp64Milli({until:Int64}, 'UTC')"
    if isinstance(condition, ScorerIs | ScorerValue | ScorerIn):
        yield f"attempt = 0 AND scorer = {bound(condition.scorer)}"
    else:
        yield "NOT partial AND run_id = ''"
    yield _looked_at(condition)


def _looked_at(condition: Condition) -> str:
    """The same question as `streams.logic.conditions.looks_at` asks."""
    match condition:
        case ScorerIs():
            return f"({_JUDGED} OR outcome = 'error')" if condition.is_ == "errors" else _JUDGED
        case ScorerValue():
            return "value IS NOT NULL"
        case ScorerIn():
            return _JUDGED
        case MetricValue():
            return f"({_METRIC[condition.metric]}) IS NOT NULL"
        case BucketIs():
            return "0"
        case _:
            return "1"


def _filter(spec: RuleSpec, bound: Bound, *, of_scores: bool) -> Iterator[str]:
    for name, value in spec.filter.given:
        column = _FILTER.get(name, (name, name))[0 if of_scores else 1]
        yield f"t.{column} = {bound(value)}"


def _group(name: str, *, of_scores: bool) -> str:
    if name in GROUPS:
        return f"toString(t.{GROUPS[name]})"
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
        case ScorerIn():
            return f"has({bound(condition.in_)}, label)"
        case MetricValue():
            return f"({_METRIC[condition.metric]}) {_op(condition.op)} {bound(condition.value)}"
        case AttributeValue() | AttributeIn():
            return f"mapContains(attrs, {bound(condition.attribute)}) AND {_attribute(condition, bound)}"
        case TagIs():
            return f"has(tags, {bound(condition.tag)})"
        case BucketIs():
            return "0"


def _attribute(condition: AttributeValue | AttributeIn, bound: Bound) -> str:
    text = f"attrs[{bound(condition.attribute)}]"
    if isinstance(condition, AttributeIn):
        return f"has({bound(condition.in_)}, {text})"
    op = _op(condition.op)
    if isinstance(condition.value, bool):
        return f"lower({text}) {op} {bound(str(condition.value).lower())}"
    if isinstance(condition.value, str):
        return f"{text} {op} {bound(condition.value)}"
    return f"toFloat64OrNull(trimBoth({text})) {op} {bound(float(condition.value))}"


def _op(op: str) -> str:
    return "=" if op == "==" else op


def _group_names(spec: RuleSpec) -> list[str]:
    return [f"g{n}" for n, _ in enumerate(spec.group_by)]


def _one_by_one(spec: RuleSpec, rows: str) -> str:
    """Each subject, or its trace in its place; whoever folds them counts each once. Of several conditions any one may hold."""
    of_trace, several = "r.trace != ''" if spec.per == "trace" else "0", len(spec.when.conditions) > 1
    groups = "".join(f", {f'any(r.{name})' if several else f'r.{name}'} AS {name}" for name in _group_names(spec))
    matched = "max(r.matched)" if several else "r.matched"
    return (
        f"SELECT r.at AS at, if({of_trace}, 'trace', r.kind) AS kind, if({of_trace}, r.trace, r.id) AS id, "
        f"{matched} AS matched{groups} FROM ({rows}) AS r" + " GROUP BY r.at, r.kind, r.id, r.trace" * several
    )


def _gathered(spec: RuleSpec, rows: str) -> str:
    """Each trace that all conditions look at, when the last one came, in the group of the first."""
    numbers = range(len(spec.when.all))
    held = " AND ".join(f"countIf(condition = {n} AND r.matched) > 0" for n in numbers)
    matched = ", ".join(f"minIf(r.at, condition = {n} AND r.matched)" for n in numbers)
    looked = ", ".join(f"minIf(r.at, condition = {n})" for n in numbers)
    groups = "".join(
        f", argMinIf(r.{name}, (NOT r.matched, r.at, r.id), condition = 0) AS {name}" for name in _group_names(spec)
    )
    return (
        f"SELECT if(matched, greatest({matched}), greatest({looked})) AS at, "
        f"if(any(r.trace) = '', any(r.kind), 'trace') AS kind, if(r.trace = '', r.id, r.trace) AS id, {held} AS matched{groups} "
        f"FROM ({rows}) AS r GROUP BY id HAVING uniqExact(condition) = {len(spec.when.all)}"
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
