"""The client: evaluations of examples beside the agent's life, as in a test or before a release."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from vedette.address import find
from vedette.api import NOWHERE, Api, in_path
from vedette.data import Example
from vedette.evaluate import frozen_fields, scorer_ref
from vedette.ids import uuid7
from vedette.judging import Judged, judge_all
from vedette.progress import Progress
from vedette.results import Results, ScorerData, ScoringResult
from vedette.scope import name_text
from vedette.scorers.example_scorer import ExampleScorer

if TYPE_CHECKING:
    from vedette.evaluate import ScorerLike

MOST_EXAMPLES = 10_000
"""of one run, as the server tells them"""

BATCH, BATCH_CHARS = 100, 2 * 1024 * 1024
FIRST_LOOK_S, LAST_LOOK_S = 0.3, 3.0
"""between two looks at a run that is not finished"""


class VedetteClient:
    """Evaluates examples and keeps the results on the server.

    URL and key come from the constructor or the environment, as a tracer's do. The key needs the scope `ingest`, and `read`
    for scorers that run on the server.
    """

    def __init__(
        self, api_key: str | None = None, organization_id: str | None = None, *, api_url: str | None = None
    ) -> None:
        del organization_id  # judgeval wants one
        self._address = find(api_url, api_key, os.environ)

    def run_evaluation(
        self,
        examples: Sequence[Example | Mapping[str, Any]],
        scorers: Sequence[ScorerLike],
        project_name: str | None = None,
        eval_run_name: str = "evaluation",
        model: str | None = None,
        assert_test: bool = False,  # noqa: FBT001, FBT002 - as in judgeval
        *,
        max_concurrent: int = 10,
        timeout_s: float = 300.0,
        show: bool = True,
    ) -> Results:
        """Judges examples by scorers and returns the results, in the order of the examples.

        A scorer of your own class runs in this process, `max_concurrent` examples at a time; one with `server_hosted`, or given by
        its name, runs on the server, which is waited for `timeout_s` seconds. Results are kept as an experiment: no rule sees them.
        Without a server, scorers of your own run all the same. With `show` a table goes to stderr.

        Raises:
            AssertionError: with `assert_test`, an example did not pass; the text tells which and why.
            ValueError: an argument is wrong, or the project has no scorer of a name.
            ServerError: the server refused, or does not answer.

        """
        __tracebackhide__ = True
        given = _checked(examples, scorers)
        local = [one for one in map(_instance, scorers) if isinstance(one, ExampleScorer)]
        named = [one for one in scorers if not isinstance(_instance(one), ExampleScorer)]
        api = self._api(project_name, needed=bool(named))
        refs = [scorer_ref(one, model) for one in named]
        if api is not None and refs:
            _ensure_known(api, refs)
        run_id = f"{name_text(eval_run_name)[:150]}-{uuid7()}"
        found = _judged(given, local, max_concurrent, eval_run_name, show=show)
        if api is not None:
            _send(api, run_id, given, refs, found)
        told = _await(api, run_id, given, refs, timeout_s, eval_run_name, show=show) if api is not None and refs else {}
        results = Results(
            [
                ScoringResult(one, [*own, *told.get(one.example_id, ())], took)
                for one, (own, took) in zip(given, found, strict=True)
            ],
            *(eval_run_name, run_id, api.project if api else project_name or "default"),
            f"{api.address.base}{_path(run_id)}?project={in_path(api.project)}" if api else "",
        )
        if show:
            print(results.table(), file=sys.stderr)
        if assert_test:
            results.assert_passed()
        return results

    def _api(self, project: str | None, *, needed: bool) -> Api | None:
        if self._address is not None:
            return Api(self._address, project or os.environ.get("VEDETTE_PROJECT") or "default")
        if needed:
            raise ValueError(f"scorers of the server were asked for, and {NOWHERE}")
        print(f"results are not kept: {NOWHERE}", file=sys.stderr)
        return None


def _checked(examples: Sequence[Example | Mapping[str, Any]], scorers: Sequence[ScorerLike]) -> list[Example]:
    if isinstance(examples, (Example, Mapping, str)):
        raise ValueError("examples must be a list of Example or of dictionaries")
    if not scorers or isinstance(scorers, (str, ExampleScorer)):
        raise ValueError("scorers must be a list with one scorer at least")
    given = [one if isinstance(one, Example) else Example.model_validate(one) for one in examples]
    if not 0 < len(given) <= MOST_EXAMPLES:
        raise ValueError(f"{len(given)} examples: a run takes 1 to {MOST_EXAMPLES}")
    ids = [one.example_id for one in given]
    twice = next((one for one in ids if ids.count(one) > 1), None) if len(set(ids)) < len(ids) else None
    if twice is not None:
        raise ValueError(f"two examples have the id {twice!r}; give each an example_id of its own, or none")
    return given


def _instance(scorer: ScorerLike) -> ExampleScorer | str:
    """A scorer of this process as an object, any other by its name."""
    if isinstance(scorer, str):
        return scorer
    if not (isinstance(scorer, ExampleScorer) or (isinstance(scorer, type) and issubclass(scorer, ExampleScorer))):
        raise ValueError(
            f"{scorer!r} is no scorer: give a class that derives from ExampleScorer, or the name of one on the server"
        )
    made = scorer() if isinstance(scorer, type) else scorer
    return made.name if made.server_hosted else made


def _ensure_known(api: Api, refs: Sequence[str | dict[str, Any]]) -> None:
    """An evaluation that names a scorer nobody made would wait for it for days."""
    documents = api.call("GET", "/api/v1/documents", kind="Scorer", project=api.project)["documents"]
    known = sorted(one["document"]["metadata"]["name"] for one in documents)
    for name in map(_name, refs):
        if name.partition("@")[0] not in known:
            there = ", ".join(known) or "none"
            raise ValueError(
                f"project {api.project} has no scorer {name!r} (there are: {there}). Upload it with `vedette upload_scorer FILE -p {api.project}`, "
                "apply it with `vedette apply -f FILE`, or run a class of your own here with server_hosted=False"
            )


def _name(ref: str | dict[str, Any]) -> str:
    return ref if isinstance(ref, str) else str(ref["scorer"])


def _judged(
    examples: Sequence[Example], scorers: Sequence[ExampleScorer], at_once: int, words: str, *, show: bool
) -> list[Judged]:
    if not scorers:
        return [([], 0.0) for _ in examples]
    progress, count = Progress(words, len(examples), shown=show), iter(range(1, len(examples) + 1))
    try:
        return judge_all(examples, scorers, max(at_once, 1), lambda: progress.tell(next(count)))
    finally:
        progress.clear()


def _send(
    api: Api, run_id: str, examples: Sequence[Example], refs: Sequence[str | dict[str, Any]], found: Sequence[Judged]
) -> None:
    bodies = [_body(one, run_id, refs, own) for one, (own, _) in zip(examples, found, strict=True)]
    for batch in batches(bodies):
        answer = api.call("POST", "/v1/examples", {"examples": batch})
        for rejected in answer.get("rejected") or ():
            raise ValueError(f"example {batch[rejected['index']]['id']}: {rejected['error']}")


def _body(
    example: Example, run_id: str, refs: Sequence[str | dict[str, Any]], own: Sequence[ScorerData]
) -> dict[str, Any]:
    verdicts = [
        {
            "scorer": one.name,
            "value": one.score,
            "threshold": one.threshold,
            "reason": one.reason or (one.error or "" if one.outcome == "skipped" else ""),
            "error": one.error or "" if one.outcome == "error" else "",
        }
        for one in own
    ]
    return {
        "id": name_text(example.example_id),
        "fields": frozen_fields(example.get_fields()),
        "scorers": list(refs),
        "verdicts": verdicts,
        "origin": "experiment",
        "run_id": run_id,
    }


def batches(bodies: Sequence[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """Yields bodies in lists that one request may carry."""
    batch: list[dict[str, Any]] = []
    size = 0
    for body in bodies:
        chars = len(str(body))
        if batch and (len(batch) >= BATCH or size + chars > BATCH_CHARS):
            yield batch
            batch, size = [], 0
        batch.append(body)
        size += chars
    if batch:
        yield batch


def _await(
    api: Api,
    run_id: str,
    examples: Sequence[Example],
    refs: Sequence[str | dict[str, Any]],
    timeout_s: float,
    words: str,
    *,
    show: bool,
) -> dict[str, list[ScorerData]]:
    """The server's verdicts by example; one that does not come in time is an error."""
    progress, end, pause_s = Progress(words, len(examples), shown=show), time.monotonic() + timeout_s, FIRST_LOOK_S
    asked = [_name(ref).partition("@")[0] for ref in refs]
    try:
        while True:
            finished = api.call("GET", _path(run_id), project=api.project)["results"]
            progress.tell(len(finished))
            if len(finished) >= len(examples) or time.monotonic() >= end:
                break
            time.sleep(min(pause_s, max(end - time.monotonic(), 0)))
            pause_s = min(pause_s * 1.5, LAST_LOOK_S)
    finally:
        progress.clear()
    told = {one["example_id"]: {score["name"]: _scored(score) for score in one["scorers"]} for one in finished}
    late = f"no verdict within {timeout_s:g} s; the run goes on: look at it later, or raise timeout_s"
    return {
        one.example_id: [
            told.get(name_text(one.example_id), {}).get(name) or ScorerData(name, "error", error=late) for name in asked
        ]
        for one in examples
    }


def _scored(told: Mapping[str, Any]) -> ScorerData:
    return ScorerData(
        name=told["name"],
        outcome=told["outcome"],
        score=told["score"],
        threshold=told["threshold"],
        reason=told["reason"] or "",
        error=told["error"],
        strict_mode=told["strict_mode"],
        evaluation_model=told["evaluation_model"],
        additional_metadata=told["additional_metadata"] or {},
    )


def _path(run_id: str) -> str:
    return f"/api/v1/experiments/{in_path(run_id)}"
