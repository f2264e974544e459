"""What waits for a verdict, until when, and how its wait ends. All pure: times are arguments."""

from dataclasses import dataclass

from schemas.ids import record_key
from schemas.later import LaterRequest, later_id
from schemas.request import Pair, ScorerClass, ScoreRequest
from streams.logic.configuration import Configuration, Versioned
from streams.logic.sampling import stamped

FIRST_PAUSE_MS = 2000
LONGEST_PAUSE_MS = 10 * 60_000
LONGEST_RETRY_AFTER_MS = 3600_000


@dataclass(frozen=True)
class Terms:
    """How long an installation lets a pair wait."""

    wait_ms: int = 72 * 3600_000
    """For a scorer that does not exist, or from the first try that failed to the last."""
    tries: int = 100
    most: int = 100_000
    """Pairs of one project that wait for one scorer."""


@dataclass(frozen=True)
class Release:
    """The wait is over: workers may judge."""

    version: Versioned | None = None
    """The one that was waited for; None: the version that the request names already."""


@dataclass(frozen=True)
class GiveUp:
    """The wait is over without a verdict: a `skipped` score tells why."""

    reason: str


End = Release | GiveUp


def await_scorer(request: ScoreRequest, pair: Pair, terms: Terms) -> LaterRequest:
    """Returns what lets a pair of a request wait until its scorer exists, counted from its ingest time."""
    return LaterRequest(
        project=request.project,
        scorer=pair.scorer,
        later_id=later_id(request, pair, 0),
        give_up_at=request.ingested_at + terms.wait_ms,
        reason=f"no version {pair.version!r} of the scorer" if pair.version else "no such scorer",
        request=only(request, pair),
    )


def try_again(
    request: ScoreRequest,
    pair: Pair,
    of: ScorerClass,
    reason: str,
    retry_after_s: float | None,
    now_ms: int,
    terms: Terms,
) -> LaterRequest | GiveUp:
    """Returns when a pair is tried again that could not be judged now, or why it is given up.

    Pauses double from 2 s to 10 min, ±20 %, and are never shorter than the scorer asked for (at most 1 h).
    """
    tries = pair.tries + 1
    give_up_at = pair.give_up_at or now_ms + terms.wait_ms
    identity = later_id(request, pair, tries)
    asked = min(round((retry_after_s or 0) * 1000), LONGEST_RETRY_AFTER_MS)
    due_at = now_ms + max(_pause_ms(tries, identity), asked)
    if tries >= terms.tries or due_at > give_up_at:
        return GiveUp(f"given up after {tries} {'try' if tries == 1 else 'tries'}; the last one: {reason}")
    return LaterRequest(
        project=request.project,
        scorer=pair.scorer,
        later_id=identity,
        scorer_class=of,
        due_at=due_at,
        tries=tries,
        give_up_at=give_up_at,
        reason=reason,
        request=only(request, pair),
    )


def key(later: LaterRequest) -> bytes:
    """Returns the Kafka key of a wait: all that wait for one scorer stand in one partition, with their markers."""
    return record_key(later.project, later.scorer)


def first_version(
    configuration: Configuration, project: str, scorer: str, version: str, ingested_at: int
) -> Versioned | None:
    """Returns what a pair of that ingest time waits for: the first version to take effect since, or the version that it names."""
    history = configuration.history("Scorer", project, scorer)
    wanted = (
        v for v in history if not v.deleted and (v.version == version if version else v.effective_at > ingested_at)
    )
    return next(wanted, None)


def end_of_wait(found: Versioned | None, give_up_at: int, now_ms: int, scorer: str, version: str) -> End | None:
    """Returns how the wait for a scorer ends now, given the version that has come; None: it goes on.

    Only the log decides, so whoever asks again after a crash gets the same answer, however late.
    """
    if found is not None and found.effective_at <= min(now_ms, give_up_at):
        return Release(found)
    if now_ms <= give_up_at:
        return None
    what = f"version {version!r} of scorer {scorer!r}" if version else f"scorer {scorer!r}"
    return GiveUp(f"there was no {what} in time: apply its document, then send again")


def released(later: LaterRequest, version: Versioned | None) -> ScoreRequest:
    """Returns the request for the workers: with its tries so far, and with the version that was waited for."""
    request, pair, _ = later.asked
    found: dict[str, object] = {"tries": later.tries, "give_up_at": later.give_up_at}
    if version is not None:
        found["version"] = stamped(version.version, pair.threshold, pair.model, pair.options)
        found["base_version"] = version.version
    return request.model_copy(update={"pairs": (pair.model_copy(update=found),)})


def only(request: ScoreRequest, pair: Pair) -> ScoreRequest:
    """Returns the request with one pair and its subject."""
    subjects = (request.subjects[pair.subject],)
    return request.model_copy(update={"subjects": subjects, "pairs": (pair.model_copy(update={"subject": 0}),)})


def _pause_ms(tries: int, identity: str) -> int:
    """Spread by identity, so that retries do not come together and a test can compute them."""
    doubled = min(FIRST_PAUSE_MS << min(tries - 1, 30), LONGEST_PAUSE_MS)
    return round(doubled * (0.8 + 0.4 * int(identity[:8], 16) / 2**32))
