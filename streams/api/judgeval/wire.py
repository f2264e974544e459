"""The form that all of judgeval's calls share: which project they are for, how they are refused, both forms of a path."""

from collections.abc import Iterator
from typing import Any, Literal
from urllib.parse import unquote

from pydantic import BaseModel, ConfigDict, TypeAdapter

from schemas.documents.key import Scope
from streams.api.app import Call, Endpoint, Handler


class Told(BaseModel):
    """What judgeval sends beside this is its own business."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)


def project_of(call: Call, named: str = "") -> str:
    """Returns the project of a call: by header, by the id in its path, or by the name in its body, else as for any other request.

    Raises:
        Refused: 403, the key may not use it.

    """
    by_id = call.headers.get("x-project-id") or call.path.get("project") or ""
    return call.caller.project(call.asked_project or unquote(by_id) or named or None)


def with_detail(body: dict[str, Any]) -> dict[str, Any]:
    """Returns a refusal as judgeval reads it: what is wrong stands under `detail`."""
    return {**body, "detail": body["message"]}


def endpoints(
    method: Literal["GET", "POST", "DELETE"],
    path: str,
    summary: str,
    handle: Handler,
    scope: Scope,
    body: TypeAdapter[Any] | None = None,
) -> Iterator[Endpoint]:
    """Yields an endpoint twice, with and without a slash at its end: judgeval follows no redirect."""
    for form in (path, f"{path}/"):
        yield Endpoint(method, form, summary, handle, scope, body=body, refusal=with_detail)
