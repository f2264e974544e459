"""Who asks, and for which project: what a key allows decides, never what a payload says."""

from collections.abc import Callable
from dataclasses import dataclass
from hmac import compare_digest
from urllib.parse import unquote

from pydantic import TypeAdapter, ValidationError

from schemas.documents.base import Name
from schemas.documents.key import ALL_PROJECTS, KeySpec, Scope, key_hash, key_id
from streams.bridge.answer import Refused
from streams.bridge.limits import Buckets, Limits
from streams.logic.configuration import Configuration, Versioned

DEFAULT_PROJECT = "default"
KIND = "Key"

_NAME: TypeAdapter[str] = TypeAdapter(Name)


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody with a key that is in effect."""

    key_id: str
    key: bytes
    spec: KeySpec


class Gate:
    """Lets in whose key is known, at the pace that is allowed."""

    def __init__(self, configuration: Configuration, limits: Limits, clock: Callable[[], float]) -> None:
        self._configuration = configuration
        self._specs: dict[str, tuple[Versioned, KeySpec]] = {}
        self._strangers = Buckets(limits.strangers_per_s, clock)
        self.bytes = Buckets(limits.key_bytes_per_s, clock)

    def caller(self, authorization: str, x_api_key: str, address: str, scope: Scope) -> Caller:
        """Returns who sent a request.

        Raises:
            Refused: 401 without a known key, 403 without the scope, 429 too much lately.

        """
        caller = self._known(presented(authorization, x_api_key))
        if caller is None:
            raise self._stranger(address, given=bool(authorization or x_api_key))
        if not caller.spec.allows(scope):
            has = ", ".join(caller.spec.scopes) or "none"
            raise Refused(
                403,
                f"key {caller.key_id} lacks the scope {scope} (it has: {has}); create one with vedette keys create --scope {scope}",
            )
        wait = self.bytes.wait_s(caller.key_id)
        if wait:
            raise Refused(
                429,
                f"key {caller.key_id} sends more than VEDETTE_BRIDGE_KEY_BYTES_PER_S allows; send again in {wait} s",
                retry_after_s=wait,
            )
        return caller

    def _known(self, key: str) -> Caller | None:
        kid = key_id(key)
        spec = self._spec(kid) if kid else None
        if kid is None or spec is None or not compare_digest(key_hash(key), spec.key_hash):
            return None
        return Caller(kid, key.encode(), spec)

    def _spec(self, kid: str) -> KeySpec | None:
        """The newest version counts, so that a revoked key is refused as soon as its deletion is read."""
        newest = self._configuration.newest(KIND, "", kid)
        if newest is None:
            self._specs.pop(kid, None)
            return None
        version, spec = self._specs.get(kid, (None, None))
        if version is not newest or spec is None:
            spec = KeySpec.model_validate_json(newest.spec)
            self._specs[kid] = (newest, spec)
        return spec

    def _stranger(self, address: str, *, given: bool) -> Refused:
        wait = self._strangers.wait_s(address)
        if wait:
            return Refused(
                429, f"too many requests without a known key from {address}; send again in {wait} s", retry_after_s=wait
            )
        self._strangers.take(address, 1)
        what = "the key is not known or was revoked" if given else "a key is missing"
        return Refused(
            401,
            f"{what}; send Authorization: Bearer KEY or x-api-key: KEY, made with vedette keys create",
            www_authenticate="Bearer",
        )


def presented(authorization: str, x_api_key: str) -> str:
    """Returns the key of a request; the word Bearer may be left out."""
    scheme, _, key = authorization.partition(" ")
    return (key.strip() if scheme.lower() == "bearer" else authorization.strip()) or x_api_key.strip()


def project_of(caller: Caller, asked: str) -> str:
    """Returns the project a request is for: the one asked for, percent-decoded, else the key's only one, else `default`.

    Raises:
        Refused: 400 it is no name or the key itself, 403 the key may not use it.

    """
    allowed = caller.spec.projects
    only = allowed[0] if len(allowed) == 1 and allowed[0] != ALL_PROJECTS else DEFAULT_PROJECT
    project = unquote(asked) or only
    if not caller.spec.allows_project(project):
        may = ", ".join(allowed) or "none"
        raise Refused(
            403,
            f"key {caller.key_id} may not use the project {project!r} (it may use: {may}); name one in the header x-vedette-project",
        )
    if asked:
        _checked(project)
    if caller.key.decode() in project:
        raise Refused(400, "x-vedette-project holds the key; it names the project")
    return project


def _checked(name: str) -> None:
    try:
        _NAME.validate_python(name)
    except ValidationError as error:
        raise Refused(400, f"x-vedette-project: {error.errors()[0]['msg'].removeprefix('Value error, ')}") from None
