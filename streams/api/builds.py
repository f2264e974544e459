"""The api's hand on the runner: uploads are built where the sandbox is."""

from typing import Any

import aiohttp
import orjson
from pydantic import ValidationError

from schemas.documents.bundle import BundleSpec, Described
from streams.api.errors import Refused
from streams.settings import Settings

TIMEOUT = aiohttp.ClientTimeout(total=330, sock_connect=5)
"""A build has 300 s; others may stand before it."""

NO_RUNNER = "no runner builds uploads here: start `vedette runner`, and set VEDETTE_RUNNER_URL and VEDETTE_RUNNER_TOKEN of the api"


async def built(settings: Settings, code: str, requirements: str) -> tuple[BundleSpec, str]:
    """Has an upload built; returns it as it is kept, and the log for its author.

    Raises:
        Refused: 503, no runner answers, or its sandbox does not hold; 422, it cannot be built, with the log.

    """
    answer = await _asked(settings, {"code": code, "requirements": requirements})
    try:
        shown = {name: value for name, value in answer["manifest"].items() if name in Described.model_fields}
        manifest = Described.model_validate(shown)
        spec = BundleSpec(
            code=code, requirements=requirements, lock=answer["lock"], manifest=manifest, notes=answer["notes"]
        )
    except (KeyError, AttributeError, ValidationError) as error:
        raise Refused(
            503, "runner_failed", f"the runner at {settings.runner_url} answered something else: {error}"
        ) from error
    return spec, str(answer["log"])


async def _asked(settings: Settings, body: dict[str, Any], what: str = "builds") -> dict[str, Any]:
    if not settings.runner_url:
        raise Refused(503, "no_runner", NO_RUNNER)
    headers = {"authorization": f"Bearer {settings.runner_token.get_secret_value()}"}
    url = f"{settings.runner_url.rstrip('/')}/{what}"
    try:
        async with (
            aiohttp.ClientSession(timeout=TIMEOUT) as session,
            session.post(url, data=orjson.dumps(body), headers=headers) as answer,
        ):
            told = orjson.loads(await answer.read())
            status = answer.status
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        why = str(error) or type(error).__name__
        raise Refused(
            503, "no_runner", f"the runner at {settings.runner_url} does not answer ({why}); see its log"
        ) from error
    if status == 200 and isinstance(told, dict):
        return told
    message = str(told.get("message", told)) if isinstance(told, dict) else str(told)
    code = {422: "build_failed", 503: "no_sandbox"}.get(status, "runner_failed")
    raise Refused(422 if status == 422 else 503, code, message)


async def tried(settings: Settings, body: dict[str, Any]) -> dict[str, Any]:
    """Has the runner judge an example once; returns what came of it. Raises like `built`."""
    return await _asked(settings, body, "tries")
