"""Why something was judged, counted or told, or was not: sentences, by the functions that decided. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import orjson

from schemas.alert import AlertChange
from schemas.delivery import Delivery
from schemas.documents.base import format_duration
from schemas.documents.scorer import ON_SUBJECTS, Filter, ScorerSpec
from schemas.example import Example, ScorerRef
from schemas.rule_state import RuleState, unpack_subjects
from schemas.score import Score
from schemas.subject import Subject
from sinks.message import in_words
from streams.cli.alerts import clock
from streams.logic.conditions import Observed, group_key, group_of, passes, satisfied
from streams.logic.in_effect import Scorers
from streams.logic.rules import RuleVersion
from streams.logic.sampling import keep, place


@dataclass(frozen=True)
class Line:
    """One thing that was decided, by whom, and why."""

    stage: str
    about: str
    said: str


FOLDED = {
    "fired": "it fired",
    "renotified": "it fired again while the alert was open",
    "counted": "counted; there were not enough yet",
    "suppressed": "counted within the cooldown: told with the next change",
    "duplicate": "its subject had counted before",
    "too late": "too late: older than the window and ten minutes more",
    "stale version": "of conditions that were replaced meanwhile",
}
"""What the fold does with a match, in words."""


def sampled(subject: Subject, found: Scorers, example: Example | None = None) -> Iterator[Line]:
    """Yields, for every scorer in effect or named, whether it was asked, and why."""
    for ref in example.scorers if example else ():
        yield Line("sample", ref.scorer, _named(ref, subject, found, example.sampling_rate if example else 1.0))
    named = {ref.scorer for ref in example.scorers} if example else set()
    for name, (_, spec) in found.items():
        if name not in named:
            yield Line("sample", name, _online(subject, spec))


def _named(ref: ScorerRef, subject: Subject, found: Scorers, rate: float) -> str:
    if not keep(subject.project, subject.trace_id or subject.subject_id, rate):
        return f"named by the example, not sampled: {_place(subject)} is not below its rate {rate:g}"
    if ref.scorer not in found:
        return "named by the example; there was no such scorer then, so it waited for one"
    return "asked: named by the example"


def _online(subject: Subject, spec: ScorerSpec) -> str:
    if not spec.enabled:
        return "not asked: it is disabled"
    entries = [one for one in spec.online if one.target == subject.kind]
    if not entries:
        return f"not asked: it runs on no {subject.kind} by itself"
    reasons = []
    for one in entries:
        if why := failing(one.filter, subject):
            reasons.append(f"filter: {why}")
        elif not keep(subject.project, subject.trace_id or subject.subject_id, one.sampling_rate):
            reasons.append(f"not sampled: {_place(subject)} is not below {one.sampling_rate:g}")
        else:
            return f"asked: {_place(subject)} is below its rate {one.sampling_rate:g}"
    return f"not asked: {'; '.join(reasons)}"


def _place(subject: Subject) -> str:
    return f"{place(subject.project, subject.trace_id or subject.subject_id):.6f}"


def failing(wanted: Filter, observed: Observed) -> str:
    """Returns the fields of a filter that a subject does not have as wanted, or nothing."""
    given = [(name, value, getattr(observed, name)) for name, value in wanted.given]
    names = {field: name for name, field in ON_SUBJECTS.items()}
    return ", ".join(f"{names.get(name, name)} is {has!r}, not {value!r}" for name, value, has in given if has != value)


def judged(scores: Iterable[Score]) -> Iterator[Line]:
    """Yields every verdict as a sentence."""
    for score in scores:
        value = "" if score.value is None else f" {score.value:g}"
        limit = "" if score.threshold is None else f" (threshold {score.threshold:g})"
        tries = f", after {score.tries} tries" if score.tries > 1 else ""
        run = f", {score.origin} {score.run_id}" if score.origin != "online" else ""
        said = f"{score.outcome}{value}{limit}: {score.reason or 'no reason given'}{tries}{run}"
        yield Line("score", f"{score.scorer}@{score.scorer_version}", said)


def matched(rule: RuleVersion, observed: Sequence[Observed]) -> Line:
    """Returns whether a rule's conditions were satisfied by what was observed of a subject, and what stood in the way."""
    conditions = rule.spec.when.conditions
    hits = [(condition, one) for condition in conditions for one in observed if satisfied(condition, one)]
    if not hits:
        return Line("match", rule.name, "no: " + ", ".join(f"{in_words(one)} did not hold" for one in conditions))
    said = "; ".join(_hit(rule, in_words(condition), one) for condition, one in hits)
    held = {id(condition) for condition, _ in hits}
    missing = [in_words(one) for one in rule.spec.when.all if id(one) not in held]
    if missing:
        said += f"; {', '.join(missing)} did not hold for it: another subject of its trace may"
    return Line("match", rule.name, said)


def _hit(rule: RuleVersion, condition: str, one: Observed) -> str:
    if not passes(rule.spec.filter, one):
        return f"{condition}, but the filter leaves it out: {failing(rule.spec.filter, one)}"
    return f"{condition}, group {group_key(rule.spec, group_of(rule.spec, one))}"


def folded(rule: str, why: Mapping[str, int], changes: Sequence[AlertChange]) -> Iterator[Line]:
    """Yields what the fold did with a match, and the alert change that it caused."""
    for reason in why:
        yield Line("count", rule, FOLDED.get(reason, reason))
    for change in changes:
        said = f"alert {change.alert_id} change {change.change}: {change.kind}, {change.cause}"
        yield Line("count", rule, said)


def told(entries: Iterable[Delivery]) -> Iterator[Line]:
    """Yields where every telling of a change stands."""
    for entry in sorted(entries, key=lambda entry: (entry.change, entry.destination, entry.recipient)):
        who = f"{entry.destination} {entry.recipient}".strip()
        reason = f": {entry.reason}" if entry.reason else ""
        again = f", tried {entry.attempts} times" if entry.attempts > 1 else ""
        yield Line("deliver", who, f"change {entry.change} {entry.state}{again}{reason}")


def standing(rule: RuleVersion, group: Sequence[str], state: RuleState | None, now: int) -> Iterator[Line]:
    """Yields where a rule stands for a group: its window, its cooldown, its open alert."""
    about = f"{rule.name} {group_key(rule.spec, group)}"
    if state is None:
        yield Line("count", about, "nothing is remembered of it: no match, or long ago")
        return
    spec = rule.spec
    recent = [at for at, _ in unpack_subjects(state.subjects) if at > now - spec.within]
    yield Line(
        "count",
        about,
        f"{len(recent)} subjects matched in the last {format_duration(spec.within)}; {spec.times} are enough",
    )
    last = max((firing.at for firing in state.firings), default=None)
    if last is None:
        yield Line("count", about, "it has not fired")
    else:
        until = last + spec.cooldown
        quiet = f"quiet until {clock(until)}" if until > now else "its cooldown is over"
        yield Line("count", about, f"it fired last at {clock(last)}; {quiet}; {state.suppressed} matches kept quiet")
    if state.open is None:
        yield Line("count", about, "no alert is open")
    else:
        ends = clock(state.matched_at + spec.resolve_after_ms)
        said = f"alert {state.open.alert_id} is {state.open.state}; without a match it resolves at {ends}"
        yield Line("count", about, said)


def group_of_text(rule: RuleVersion, text: str) -> tuple[str, ...]:
    """Returns the group that a person means: a JSON object by name, or the values in the rule's order, comma separated.

    Raises:
        ValueError: it does not fit the rule's group_by; the text says what would.
    """
    names = rule.spec.group_by
    if text.startswith("{"):
        values = orjson.loads(text)
        if set(values) != set(names):
            raise ValueError(
                f"rule {rule.name!r} groups by {', '.join(names) or 'nothing'}, not by {', '.join(values)}"
            )
        return tuple(str(values[name]) for name in names)
    found = tuple(text.split(",")) if text or len(names) == 1 else ()
    if len(found) != len(names):
        wanted = ",".join(name.upper() for name in names) or "nothing"
        raise ValueError(f"rule {rule.name!r} groups by {', '.join(names) or 'nothing'}: write {rule.name}/{wanted}")
    return found
