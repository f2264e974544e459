"""What cannot be judged now: one scorer asked for one subject, with what it waits for, and the end of its wait."""

from typing import Literal

from pydantic import Field

from schemas.ids import hashed
from schemas.record import Record
from schemas.request import Pair, ScorerClass, ScoreRequest
from schemas.subject import Subject

LaterState = Literal["waiting", "released", "given up"]


class LaterRequest(Record):
    """A pair that waits on `vedette.score-later`; with another state than `waiting`, the marker that it waits no more."""

    project: str
    scorer: str
    later_id: str = Field(description="of this pair and this try: a repetition waits no second time")
    state: LaterState = "waiting"
    scorer_class: Literal["", ScorerClass] = Field(
        default="", description="whose workers try again; empty while the scorer does not exist"
    )
    due_at: int = Field(default=0, description="when it is tried again, milliseconds; 0: when the scorer exists")
    tries: int = Field(default=0, description="how often it was tried")
    give_up_at: int = Field(default=0, description="milliseconds; after it no further wait begins")
    reason: str = Field(default="", description="why it waits, or why it was given up")
    request: ScoreRequest | None = Field(default=None, description="one pair and its subject; only while waiting")

    @property
    def asked(self) -> tuple[ScoreRequest, Pair, Subject]:
        """The request with its one pair and its subject.

        Raises:
            ValueError: there is none: it is a marker.

        """
        if self.request is None or len(self.request.pairs) != 1:
            raise ValueError(f"{self.later_id} carries no request of one pair")
        (pair,) = self.request.pairs
        return self.request, pair, self.request.subjects[pair.subject]


def later_id(request: ScoreRequest, pair: Pair, tries: int) -> str:
    """Returns the id of a pair's wait after so many tries: the same for every repetition of it."""
    subject = request.subjects[pair.subject]
    threshold = "" if pair.threshold is None else str(pair.threshold)
    own = (threshold, pair.model, pair.options, str(tries))
    scorer = f"{pair.scorer}@{pair.version}"
    return hashed(request.project, subject.kind, subject.subject_id, scorer, request.run_id, *own)
