"""Which subjects are judged, by which version and whom: the same ones in the live job, a retry, a replay and an audit."""

from hashlib import blake2b

from schemas.ids import hashed
from schemas.request import ScorerClass
from schemas.topics import Topic

TOPIC_OF_CLASS: dict[ScorerClass, Topic] = {
    "code": Topic.REQUESTS_CODE,
    "hosted": Topic.REQUESTS_HOSTED,
    "judge": Topic.REQUESTS_JUDGE,
}
_CLASS_OF_TYPE: dict[str, ScorerClass] = {"prompt": "judge", "hosted": "hosted"}


def topic_of_type(scorer_type: str) -> Topic:
    """Returns where the workers read that run scorers of a type."""
    return TOPIC_OF_CLASS[_CLASS_OF_TYPE.get(scorer_type, "code")]


def stamped(base: str, threshold: float | None, model: str, options: str) -> str:
    """Returns the version on the score: a threshold, model or options of a request's own make one of their own."""
    own = (str(threshold) if threshold is not None else "", model, options)
    return hashed(base, *own)[:16] if any(own) and base else base


def keep(project: str, trace_or_subject: str, rate: float) -> bool:
    """Tells whether a subject is in the sample of a rate: all subjects of a trace share their fate."""
    return rate >= 1 or place(project, trace_or_subject) < rate


def place(project: str, trace_or_subject: str) -> float:
    """Returns where in [0, 1) a subject stands: the first 53 bits of blake2b(project, trace id, else subject id) / 2^53.

    It is kept by every rate above, so the sample of a lower rate is a part of the sample of a higher one.
    """
    digest = blake2b(digest_size=8)
    for part in (project, trace_or_subject):
        data = part.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "big") + data)
    return (int.from_bytes(digest.digest(), "big") >> 11) / (1 << 53)
