"""Work that a job finds waiting: it stands still while records are put on its topic, then does them all.

Records of the run's scorers, rules and spans, the same for every job and baseline.
"""

import os
import random
import signal
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from confluent_kafka import Consumer, TopicPartition

from schemas.ids import record_key
from schemas.score import Score
from schemas.topics import Topic
from streams import kafka
from streams.loop import handled_to
from streams.settings import Settings
from tests.support.jobs import Installation

SCORERS = tuple(f"Scorer {number}" for number in range(10))
AGENTS = tuple(f"Agent{number}" for number in range(10))
FAILING = 0.1


def rules() -> Iterable[tuple[str, dict[str, object]]]:
    """Returns 100 rules, one for every scorer and agent."""
    for scorer in SCORERS:
        for agent in AGENTS:
            condition = {"scorer": scorer, "is": "fails"}
            yield (
                f"{scorer} of {agent}",
                {"when": {"all": [condition]}, "filter": {"agent": agent}, "group_by": ["customer"], "times": 500},
            )


def rules_of_every_form() -> Iterable[tuple[str, dict[str, object]]]:
    """Returns 100 rules: ten of each form of condition, filter and group, half of them about the scores."""
    for number, scorer in enumerate(SCORERS):
        agent, fails = AGENTS[number], {"scorer": scorer, "is": "fails"}
        slow, of_agent = {"metric": "duration_ms", "op": ">", "value": 60_000}, {"agent": agent}
        forms: tuple[dict[str, object], ...] = (
            {"when": {"all": [fails]}, "filter": of_agent, "group_by": ["customer"]},
            {
                "when": {"any": [fails, {"scorer": SCORERS[number - 1], "is": "errors"}]},
                "group_by": ["agent", "session"],
            },
            {"when": {"all": [{"scorer": scorer, "op": "<", "value": 0.5}]}, "filter": of_agent, "per": "trace"},
            {"when": {"all": [fails, slow]}, "filter": of_agent, "group_by": ["agent"]},
            {"when": {"all": [{"scorer": scorer, "in": ["rude", "curt"]}]}, "filter": {"environment": "production"}},
            {"when": {"all": [slow]}, "filter": {"kind": "llm", **of_agent}, "group_by": ["attribute:region"]},
            {"when": {"any": [{"attribute": "tier", "in": ["gold"]}, {"attribute": "retries", "op": ">", "value": 3}]}},
            {"when": {"all": [{"tag": f"tag {number}"}]}, "filter": of_agent},
            {"when": {"all": [{"bucket": f"Bucket {number}"}]}},
            {
                "when": {"all": [{"metric": "error", "op": "==", "value": 1}]},
                "filter": {"span": f"tool {number}"},
                "per": "trace",
            },
        )
        for form, spec in enumerate(forms):
            yield f"{scorer}, form {form}", {**spec, "times": 500}


def put_scores(installation: Installation, count: int, now: int, seed: int) -> None:
    """Puts scores of all scorers and agents; one of ten fails, and each fail matches one rule."""
    chance = random.Random(seed)
    for _ in range(count):
        trace, span = f"{chance.getrandbits(128):032x}", f"{chance.getrandbits(64):016x}"
        fails = chance.random() < FAILING
        score = Score(
            project="default", score_id=f"{chance.getrandbits(128):032x}", scorer=chance.choice(SCORERS), scorer_version="1" * 16,
            subject_kind="span", subject_id=f"{trace}:{span}", outcome="fail" if fails else "pass", ingested_at=now, ts=now,
            trace_id=trace, span_id=span, span_name="chat gpt-5-mini", span_kind="llm", session_id="s-1",
            customer_id=f"customer-{chance.randrange(200)}", agent=chance.choice(AGENTS), environment="production",
            value=0.0 if fails else 1.0, threshold=0.5, reason="none of: parcel, package" if fails else "package", latency_ms=0.2,
        )  # fmt: skip
        installation.put(Topic.SCORES, record_key("default", trace), score)
    installation.flush()


@dataclass(frozen=True)
class Group:
    """How far a consumer group has come in its topics, what it holds to read again included."""

    settings: Settings
    name: str
    topics: tuple[Topic, ...]

    @cached_property
    def _consumer(self) -> Consumer:
        return kafka.consumer(self.settings, self.name)

    def _places(self) -> list[TopicPartition]:
        names = [kafka.topic_name(self.settings, topic) for topic in self.topics]
        wanted = [TopicPartition(name, number) for name in names for number in range(self.settings.partitions)]
        return list(self._consumer.committed(wanted, timeout=10))

    def committed(self) -> int:
        """Returns how many records the group has done with, since the topics began."""
        return sum(max(handled_to(place), 0) for place in self._places())

    def is_drained(self) -> bool:
        """Tells whether all but the last records (ticks) are committed."""
        places = self._places()
        ends = [self._consumer.get_watermark_offsets(place, timeout=10)[1] for place in places]
        return all(end - max(handled_to(place), 0) <= 2 for place, end in zip(places, ends, strict=True))


class StandingStill:
    """Processes that do nothing until the end of the block: what is put meanwhile waits for them."""

    def __init__(self, *pids: int) -> None:
        self._pids = pids

    def __enter__(self) -> None:
        for pid in self._pids:
            os.kill(pid, signal.SIGSTOP)

    def __exit__(self, *_: object) -> None:
        for pid in self._pids:
            os.kill(pid, signal.SIGCONT)
