"""A scoring worker whose every scorer cannot judge twice before it does."""

from dataclasses import dataclass, field

from schemas.documents.scorer import ScorerSpec
from schemas.subject import Subject
from scorers.registry import build
from scorers.scorer import Scorer, Transient, Verdict
from streams import bench, score
from streams.settings import Settings


@dataclass
class Moody:
    """Refuses two times, then judges as the scorer does that the document describes."""

    scorer: Scorer
    asked: list[str] = field(default_factory=list)

    async def judge(self, subject: Subject) -> Verdict:
        self.asked.append(subject.subject_id)
        if len(self.asked) <= 2:
            raise Transient("the provider has no time")
        return await self.scorer.judge(subject)


def moody(spec: ScorerSpec) -> Scorer:
    return Moody(build(spec))


def main(settings: Settings) -> None:
    """Runs until SIGTERM."""
    bench.build = moody  # type: ignore[attr-defined]
    score.main(settings)
