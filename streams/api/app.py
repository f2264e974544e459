"""The api as an ASGI application: one table of endpoints, from which routes, checks and the OpenAPI document come."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import orjson
import structlog
from pydantic import TypeAdapter, ValidationError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from schemas.documents.key import Scope
from streams.api.auth import Caller, authenticate
from streams.api.errors import Refused
from streams.api.publish import NotWritten
from streams.api.services import Services

log = structlog.get_logger()

MAX_BODY_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True)
class Call:
    """An authenticated request."""

    caller: Caller
    services: Services
    path: dict[str, str]
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    @property
    def asked_project(self) -> str | None:
        """The project that the request names, in the query or by header."""
        return self.query.get("project") or self.headers.get("x-vedette-project")

    @property
    def project(self) -> str:
        """The project of the request; refused with 403 when the key may not use it."""
        return self.caller.project(self.asked_project)

    def projects(self) -> list[str]:
        """Returns the project that the request names, else all that exist and that the key may use."""
        if self.asked_project:
            return [self.project]
        known = self.services.projects()
        return sorted(project for project in known if self.caller.key.allows_project(project))

    def read(self, shape: TypeAdapter[Any]) -> Any:
        """Returns the body in a shape.

        Raises:
            Refused: 400, with the place of what is wrong.

        """
        try:
            return shape.validate_python(orjson.loads(self.body))
        except orjson.JSONDecodeError as error:
            raise Refused(400, "not_json", f"the body is no JSON: {error}") from error
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(map(str, first["loc"])) or "the body"
            raise Refused(400, "invalid_body", f"{where}: {first['msg']}") from error


@dataclass(frozen=True)
class Answer:
    """An answer with a status that is not the endpoint's own."""

    status: int
    data: Any


Handler = Callable[[Call], Awaitable[Any]]


@dataclass(frozen=True)
class Endpoint:
    """One method on one path: who may call it, with what, and what it does."""

    method: Literal["GET", "PUT", "POST", "DELETE"]
    path: str
    summary: str
    handle: Handler
    scope: Scope
    query: tuple[str, ...] = ()
    body: TypeAdapter[Any] | None = None
    status: int = 200
    refusal: Callable[[dict[str, Any]], dict[str, Any]] = dict
    """What the body of a refusal becomes."""


def application(endpoints: Sequence[Endpoint], services: Services) -> Starlette:
    """Returns the application that answers on these endpoints and describes them on `/api/v1/openapi.json`."""
    routes = [Route(e.path, _answering(e, services), methods=[e.method]) for e in endpoints]
    handlers: dict[Any, Any] = {HTTPException: _no_route, Exception: _broken}
    return Starlette(routes=routes, exception_handlers=handlers)


def _answering(endpoint: Endpoint, services: Services) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        try:
            caller = authenticate(request.headers, services.config.configuration)
            caller.require(endpoint.scope)
            call = Call(
                caller=caller,
                services=services,
                path={name: str(value) for name, value in request.path_params.items()},
                query=dict(request.query_params),
                headers=dict(request.headers),
                body=await _body(request),
            )
            data = await endpoint.handle(call)
            return _json(data.data, data.status) if isinstance(data, Answer) else _json(data, endpoint.status)
        except Refused as refused:
            return _json(endpoint.refusal(refused.body), refused.status)
        except NotWritten as error:
            return _json(endpoint.refusal({"error": "kafka_unavailable", "message": f"{error}; try again"}), 503)

    return answer


async def _body(request: Request) -> bytes:
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > MAX_BODY_BYTES:
            raise Refused(413, "too_large", f"a body may have {MAX_BODY_BYTES} bytes; send fewer documents at once")
        chunks.append(chunk)
    return b"".join(chunks)


def _json(data: Any, status: int = 200) -> Response:
    headers = {"cache-control": "no-store"}
    return Response(orjson.dumps(data), status, headers, media_type="application/json")


async def _no_route(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    if status == 405:
        return _json({"error": "wrong_method", "message": f"{request.url.path} does not take {request.method}"}, status)
    message = f"there is no {request.url.path}; /api/v1/openapi.json lists what there is"
    return _json({"error": "not_found", "message": message}, status)


async def _broken(request: Request, error: Exception) -> Response:
    log.error("a request failed", method=request.method, path=request.url.path, exc_info=error)
    message = f"the api failed on this request ({type(error).__name__}); its log tells more"
    return _json({"error": "internal", "message": message}, 500)


def openapi(endpoints: Sequence[Endpoint], version: str) -> dict[str, Any]:
    """Returns the OpenAPI document of the endpoints."""
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in endpoints:
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Vedette", "version": version},
        "paths": paths,
        "security": [{"bearer": []}, {"header": []}],
        "components": {
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "header": {"type": "apiKey", "in": "header", "name": "x-api-key"},
            }
        },
    }


def _operation(endpoint: Endpoint) -> dict[str, Any]:
    parts = [part[1:-1] for part in endpoint.path.split("/") if part.startswith("{")]
    parameters = [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in parts]
    parameters += [{"name": name, "in": "query", "schema": {"type": "string"}} for name in endpoint.query]
    error = {"description": '{"error": code, "message": what and how to fix it}'}
    told: dict[str, Any] = {
        "summary": endpoint.summary,
        "description": f"Needs a key with scope `{endpoint.scope}`.",
        "parameters": parameters,
        "responses": {str(endpoint.status): {"description": "done"}, "default": error},
    }
    if endpoint.body is not None:
        schema = endpoint.body.json_schema(by_alias=True)
        told["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    return told
