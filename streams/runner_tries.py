"""`POST /tries` of the runner job: an example is judged once, by whoever asks, and nothing is recorded."""

import hmac
import time
from collections.abc import Callable

import orjson
from aiohttp import web
from pydantic import BaseModel, ConfigDict, ValidationError

from schemas.documents.scorer import ScorerSpec
from schemas.subject import Subject
from scorers.hosted.judge import Hosted, Refusing, verdict
from scorers.hosted.line import Done
from scorers.scorer import Permanent, Transient, Verdict
from streams.settings import Settings
from streams.verdict import outcome

Find = Callable[[str, str, str], tuple[ScorerSpec, Hosted | Refusing]]
"""Returns the scorer of a project, by its name and version; raises `LookupError`."""


class Tried(BaseModel):
    """What is to be judged, and by which version."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    project: str
    scorer: str
    version: str
    fields: dict[str, object]


def routes(find: Find, settings: Settings) -> list[web.RouteDef]:
    """Returns the routes for the runner's own port."""
    token = settings.runner_token.get_secret_value()

    async def answer(request: web.Request) -> web.Response:
        presented = request.headers.get("authorization", "").removeprefix("Bearer ")
        if not token or not hmac.compare_digest(presented.encode(), token.encode()):
            return _told(
                {"error": "token_wrong", "message": "give the api and the runner the same VEDETTE_RUNNER_TOKEN"}, 401
            )
        try:
            tried = Tried.model_validate_json(await request.read())
            spec, scorer = find(tried.project, tried.scorer, tried.version)
        except ValidationError as error:
            return _told({"error": "invalid_body", "message": str(error.errors(include_url=False)[0]["msg"])}, 400)
        except LookupError as missing:
            return _told({"error": "not_found", "message": str(missing.args[0])}, 404)
        return _told(await _judged(spec, scorer, tried))

    return [web.post("/tries", answer)]


async def _judged(spec: ScorerSpec, scorer: Hosted | Refusing, tried: Tried) -> dict[str, object]:
    fields = orjson.dumps(tried.fields)
    kind = "trace" if isinstance(scorer, Hosted) and scorer.kind == "trace" else "example"
    subject = Subject(project=tried.project, kind=kind, subject_id="try", fields=fields)
    began, done, found, error = time.perf_counter(), None, Verdict(), ""
    try:
        done = await scorer.done(subject) if isinstance(scorer, Hosted) else None
        found = (
            verdict(done, gateway=scorer.gateway)
            if done and isinstance(scorer, Hosted)
            else await scorer.judge(subject)
        )
    except (Transient, Permanent) as failure:
        error = failure.reason
    return {
        "outcome": outcome(found, error, spec.threshold),
        "value": found.value,
        "threshold": spec.threshold,
        "label": found.label,
        "reason": error or found.reason,
        "log": _log(done),
        "seconds": time.perf_counter() - began,
        "cost_usd": done.usd if done else 0.0,
    }


def _log(done: Done | None) -> str:
    return str(getattr(done.answer, "log", "")) if done else ""


def _told(body: dict[str, object], status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(body), status=status, content_type="application/json")
