"""Which stage holds a canary up, and whom to tell about it when. Pure: times are milliseconds, given by the caller."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

STAGES: Mapping[str, str] = {
    "kafka": "Kafka does not answer",
    "bridge": "the bridge took no span",
    "normalise": "no canonical span came to vedette.spans",
    "sample": "no score request came to vedette.score-requests.code",
    "score": "no score came to vedette.scores",
    "match": "no satisfied condition came to vedette.rule-conditions",
    "complete": "no match came to vedette.rule-events",
    "count": "no alert change came to vedette.alerts",
    "deliver": "nobody was told of the alert",
    "store": "the span is not in ClickHouse",
    "api": "the api does not answer",
}
"""In the order of a canary's way; each with what it means when it is the first to be missing. `store` and `api` stand beside it."""
BESIDE = ("store", "api")
REPEAT_MS = 30 * 60_000


def held_up(seen: Collection[str]) -> tuple[str, ...]:
    """Returns the stages to be named: the first of the way that was not seen, and those beside it.

    Without Kafka nothing else can be told. What comes after the first stage that is missing is not at fault.
    """
    missing = [stage for stage in STAGES if stage not in seen]
    if "kafka" in missing:
        return ("kafka",)
    on_the_way = [stage for stage in missing if stage not in BESIDE]
    beside = [stage for stage in missing if stage in BESIDE and (stage == "api" or "normalise" in seen)]
    return (*on_the_way[:1], *beside)


@dataclass(frozen=True)
class News:
    """Something to tell about a stage."""

    stage: str
    kind: Literal["wedged", "still wedged", "recovered"]
    since: int
    number: int
    """How often its incident was told before."""


@dataclass
class Incidents:
    """What is wrong now: since when, told when, and how often."""

    _open: dict[str, News] = field(default_factory=dict)
    _told_at: dict[str, int] = field(default_factory=dict)

    def after(self, stages: Collection[str], now: int) -> list[News]:
        """Returns what is to be told after a round that these stages held up: at once, again every half an hour, and when it is over."""
        for stage in stages:
            self._open.setdefault(stage, News(stage, "wedged", now, 0))
        over = [stage for stage in self._open if stage not in stages]
        for stage in over:
            if stage not in self._told_at:  # nobody was told that it began
                del self._open[stage]
        due = [stage for stage in stages if now - self._told_at.get(stage, now - REPEAT_MS) >= REPEAT_MS]
        ended = [replace(self._open[stage], kind="recovered") for stage in over if stage in self._open]
        return [*ended, *(self._open[stage] for stage in due)]

    def told(self, news: News, now: int) -> None:
        """Notes that somebody was told; what is not noted is told again after the next round."""
        if news.kind == "recovered":
            del self._open[news.stage], self._told_at[news.stage]
        else:
            self._told_at[news.stage] = now
            self._open[news.stage] = replace(news, kind="still wedged", number=news.number + 1)
