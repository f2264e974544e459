"""What is told about one alert change, in the words that every destination shares.

Everything that agents, users or models wrote is cleaned here (control and bidirectional characters) and cut; a sink adds the escaping of
its own format.
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from urllib.parse import quote, urlencode

import orjson

from schemas.alert import AlertChange
from schemas.documents.base import format_duration
from schemas.documents.rule import (
    AttributeIn,
    AttributeValue,
    BucketIs,
    Condition,
    MetricValue,
    RuleSpec,
    ScorerIn,
    ScorerIs,
    ScorerValue,
)
from schemas.ids import hashed
from schemas.rule import Evaluated

SAMPLES = 3
REASON_CHARS = 300
VALUE_CHARS = 200
CAUSE_CHARS = 1000

WORDS = {
    "fired": "Firing",
    "renotified": "Still firing",
    "acknowledged": "Acknowledged",
    "snoozed": "Snoozed",
    "resolved": "Resolved",
}


@dataclass(frozen=True)
class Sample:
    """One match: what it was, why it matched, where to look."""

    subject: str
    reason: str
    url: str = ""
    """Of its trace; empty when there is none."""


@dataclass(frozen=True)
class Message:
    """One alert change for one recipient. Texts are clean and cut, not escaped."""

    project: str
    rule: str
    alert_id: str
    change: int
    state: str
    recipient: str
    identity: str
    """The same for every attempt to tell this change to this recipient: two messages with it are one."""
    first_identity: str
    """The identity of the alert's first message to this recipient."""
    topic: str
    """Rule and group: the same in all messages of an alert."""
    headline: str
    cause: str
    facts: tuple[tuple[str, str], ...]
    samples: tuple[Sample, ...]
    url: str
    at_ms: int
    """When the alert changed, milliseconds."""
    reference: str = ""
    """What the destination called its earlier message of this alert; empty when there is none."""
    quiet: bool = False
    """Show the change in the earlier message; page nobody."""
    kind: str = "fired"
    severity: str = "warning"
    group_key: str = "{}"
    """JSON object of group_by and its values, exactly."""
    text: str = ""
    """In the words of the destination's template; stands instead of cause, facts and samples."""


def compose(
    change: AlertChange,
    spec: RuleSpec,
    public_url: str,
    recipient: str,
    reference: str = "",
    *,
    quiet: bool = False,
    kept_quiet: str = "",
    instead_of: str = "",
) -> Message:
    """Returns what to tell `recipient` about an alert change of a rule. Links begin with `public_url`.

    `kept_quiet` is why the alert, which goes on, was not told until now; `instead_of` tells which destination failed and why.
    """
    topic = _topic(change)
    return Message(
        project=clean(change.project, VALUE_CHARS),
        rule=clean(change.rule, VALUE_CHARS),
        alert_id=change.alert_id,
        change=change.change,
        state=change.state,
        recipient=recipient,
        identity=identity(change, recipient, change.change),
        first_identity=identity(change, recipient, 0),
        topic=topic,
        headline=f"{WORDS['renotified'] if kept_quiet else _word(change)}: {topic}",
        cause=clean(change.cause or condition(spec), CAUSE_CHARS),
        facts=tuple(_facts(change, spec, kept_quiet, instead_of)),
        samples=tuple(_sample(change.project, one, public_url) for one in _newest(change)),
        url=alert_url(public_url, change.project, change.alert_id),
        at_ms=change.changed_at,
        reference=reference,
        quiet=quiet,
        kind=change.kind,
        severity=change.severity,
        group_key=change.group_key,
    )


def digest(messages: Sequence[Message], public_url: str) -> Message:
    """Returns one message that tells several of one recipient."""
    first = messages[0]
    gathered = [Sample(one.topic, f"{one.headline}: {one.cause}", one.url) for one in messages]
    firing = sum(one.state == "firing" for one in messages)
    number = f"{len(messages)} alert change{'s' if len(messages) > 1 else ''}"
    return replace(
        first,
        rule="",
        alert_id="",
        change=0,
        state="firing" if firing else first.state,
        identity=hashed(first.project, "digest", *(one.identity for one in messages)),
        topic=number,
        headline=f"{number} in one mail",
        cause="More mails than the destination's digest_above went within the hour; this is what came since.",
        facts=(("Firing", str(firing)), ("Other", str(len(messages) - firing))),
        samples=tuple(gathered),
        url=f"{public_url.rstrip('/')}/alerts?{urlencode({'project': first.project})}",
        reference="",
        text="",
    )


def identity(change: AlertChange, recipient: str, number: int) -> str:
    """Returns the identity of the telling of an alert's change `number` to a recipient."""
    return hashed(change.project, change.alert_id, str(number), recipient)


def alert_url(public_url: str, project: str, alert_id: str) -> str:
    """Returns the page of an alert."""
    return f"{public_url.rstrip('/')}/alerts/{quote(alert_id, safe='')}?{urlencode({'project': project})}"


def trace_url(public_url: str, project: str, trace_id: str, span_id: str = "") -> str:
    """Returns the page of a trace, at one of its spans if given."""
    query = urlencode({"project": project, **({"span": span_id} if span_id else {})})
    return f"{public_url.rstrip('/')}/traces/{quote(trace_id, safe='')}?{query}"


def condition(spec: RuleSpec) -> str:
    """Returns a rule's condition in words.

    >>> from schemas.documents.rule import When
    >>> condition(RuleSpec(when=When(all=(ScorerIs.model_validate({"scorer": "Politeness", "is": "fails"}),)), times=3))
    'Politeness fails, 3 times in 5m'
    """
    words = (" and " if spec.when.all else " or ").join(in_words(one) for one in spec.when.conditions)
    return words if spec.times == 1 else f"{words}, {spec.times} times in {format_duration(spec.within)}"


def clean(text: str, limit: int, *, lines: bool = False) -> str:
    """Returns `text` without control, bidirectional and invisible format characters, on one line unless `lines`, cut to `limit`.

    Zero-width joiners stay: scripts and emoji need them.
    """
    kept = "".join(_shown(character, lines=lines) for character in text[: 4 * limit])
    return cut(kept if lines else " ".join(kept.split()), limit)


def cut(text: str, limit: int) -> str:
    """Returns `text` in at most `limit` characters; an ellipsis tells that some are missing."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def utc(ms: int) -> str:
    """Returns a time for people."""
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def iso(ms: int) -> str:
    """Returns a time for programs, as ISO 8601 in UTC."""
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _shown(character: str, *, lines: bool) -> str:
    if character == "\n" and lines:
        return character
    category = unicodedata.category(character)
    if category in ("Zl", "Zp") or character in "\t\r\n\v\f":
        return " "
    hidden = category in ("Cc", "Cf", "Cs") and character not in "\u200c\u200d"
    return "" if hidden else character


def _word(change: AlertChange) -> str:
    if change.kind == "renotified" and change.state == "acknowledged":
        return "Acknowledged, fired again"
    return WORDS[change.kind]


def _groups(change: AlertChange) -> dict[str, str]:
    return {str(name): str(value) for name, value in orjson.loads(change.group_key).items()}


def _topic(change: AlertChange) -> str:
    values = ", ".join(value for value in _groups(change).values() if value)
    return clean(f"{change.rule} ({values})" if values else change.rule, VALUE_CHARS)


def _facts(change: AlertChange, spec: RuleSpec, kept_quiet: str, instead_of: str) -> list[tuple[str, str]]:
    groups = [(name.removeprefix("attribute:"), value or "(none)") for name, value in _groups(change).items()]
    environment = spec.filter.environment
    found = [
        ("Project", change.project),
        *((name.capitalize(), value) for name, value in groups),
        *([("Environment", str(environment))] if environment else []),
        ("Condition", condition(spec)),
        ("Severity", change.severity),
        ("Matches", f"{change.subjects} in the window, {change.matched} since it opened"),
        *([("Suppressed", f"{change.suppressed} since the last message")] if change.suppressed else []),
        ("Opened", utc(change.fired_at)),
        *(
            [("Quiet until", utc(change.cooldown_until))]
            if change.cooldown_until and change.state != "resolved"
            else []
        ),
        *([("By", change.by)] if change.by else []),
        *([("Kept quiet", kept_quiet)] if kept_quiet else []),
        *([("Told here", f"because {instead_of}")] if instead_of else []),
    ]
    return [(clean(name, 60), clean(value, VALUE_CHARS)) for name, value in found]


def _newest(change: AlertChange) -> list[Evaluated]:
    return sorted(change.evidence, key=lambda match: (-match.ingested_at, match.subject_id))[:SAMPLES]


def _sample(project: str, match: Evaluated, public_url: str) -> Sample:
    value = "" if match.value is None else f"{match.value:g}"
    reason = clean(match.reason, REASON_CHARS) or (f"value {value}" if value else "no reason given")
    url = trace_url(public_url, project, match.trace_id, match.span_id) if match.trace_id else ""
    return Sample(clean(f"{match.subject_kind} {match.subject_id}", 80), reason, url)


def in_words(one: Condition) -> str:
    """Returns a condition in words."""
    match one:
        case ScorerIs():
            return f"{one.scorer} {one.is_}"
        case ScorerValue():
            return f"{one.scorer} {one.op} {one.value:g}"
        case ScorerIn():
            return f"{one.scorer} is {_one_of(one.in_)}"
        case MetricValue():
            return f"{one.metric} {one.op} {one.value:g}"
        case AttributeValue():
            return f"{one.attribute} {one.op} {one.value}"
        case AttributeIn():
            return f"{one.attribute} is {_one_of(one.in_)}"
        case BucketIs():
            return f"in bucket {one.bucket}"
        case _:
            return f"tagged {one.tag}"


def _one_of(texts: tuple[str, ...]) -> str:
    return " or ".join(texts)
