"""judgeval 1.x's upload: a multipart form of metadata and a tar.gz. Its one file of Python becomes a version like any other upload's.

Nothing is ever unpacked: the archive is read in memory, within bounds, and only two of its files are looked at.
"""

import io
import tarfile
from collections.abc import Mapping
from email.message import Message
from typing import Any

import orjson
from pydantic import TypeAdapter, ValidationError

from streams.api import uploads
from streams.api.app import Call
from streams.api.errors import Refused
from streams.api.judgeval.wire import Told, project_of

MOST_FILES = 200
MOST_BYTES = 10 * 1024 * 1024
"""Of all files of an archive together, unpacked."""


class Metadata(Told):
    """What stands beside the archive."""

    scorer_name: str
    entrypoint_path: str
    requirements_path: str | None = None


METADATA = TypeAdapter(Metadata)


async def upload(call: Call) -> Any:
    """Builds and keeps the scorer of a bundle; each upload is a new version."""
    form = parts(call.body, call.headers.get("content-type", ""))
    try:
        told = METADATA.validate_python(orjson.loads(form["metadata"]))
    except (KeyError, orjson.JSONDecodeError, ValidationError) as error:
        raise _refused(f"`metadata` is to be JSON with scorer_name and entrypoint_path: {error}") from None
    found = files(form.get("bundle", b""))
    modules = [path for path in found if path.endswith(".py")]
    if modules != [_plain(told.entrypoint_path)]:
        raise _refused(
            f"a scorer is one file of Python, {told.entrypoint_path!r}; the bundle has {', '.join(modules) or 'none'}"
        )
    given = uploads.Upload(
        code=_text(found, told.entrypoint_path),
        requirements=_text(found, told.requirements_path) if told.requirements_path else "",
        name=told.scorer_name,
        overwrite=True,
    )
    kept = await uploads.keep(call, project_of(call), given)
    message = f"version {kept['version']} of scorer {kept['name']!r}"
    return {"scorer_name": told.scorer_name, "status": "success", "message": "\n".join([message, *kept["notes"]])}


def parts(body: bytes, content_type: str) -> dict[str, bytes]:
    """Returns the fields of a multipart form (RFC 7578) by their names.

    Raises:
        Refused: 422, it is none.
    """
    header = Message()
    header["content-type"] = content_type
    boundary = header.get_param("boundary")
    if header.get_content_type() != "multipart/form-data" or not isinstance(boundary, str):
        raise _refused("a multipart/form-data body with `metadata` and `bundle` is expected")
    found: dict[str, bytes] = {}
    for part in body.split(b"--" + boundary.encode())[1:-1]:
        head, _, content = part.partition(b"\r\n\r\n")
        disposition = Message()
        lines = head.decode(errors="replace").split("\r\n")
        disposition["content-disposition"] = next(
            (line.partition(":")[2].strip() for line in lines if line.lower().startswith("content-disposition:")), ""
        )
        name = disposition.get_param("name", header="content-disposition")
        found[str(name)] = content.removesuffix(b"\r\n")
    return found


def files(archive: bytes) -> dict[str, bytes]:
    """Returns the regular files of a tar.gz by their paths.

    Raises:
        Refused: 422, it is no archive, or larger than a bundle may be.
    """
    found: dict[str, bytes] = {}
    left = MOST_BYTES
    try:
        with tarfile.open(fileobj=io.BytesIO(archive), mode="r|gz") as tar:
            for number, member in enumerate(tar):
                if number >= MOST_FILES or member.size > left:
                    raise _refused(f"a bundle has at most {MOST_FILES} files of {MOST_BYTES >> 20} MiB together")
                stream = tar.extractfile(member) if member.isreg() else None
                if stream is not None:
                    content = stream.read(left)
                    left -= len(content)
                    found[_plain(member.name)] = content
    except (tarfile.TarError, EOFError, OSError) as error:
        raise _refused(f"`bundle` is no tar.gz: {error}") from None
    return found


def _plain(path: str) -> str:
    return path.removeprefix("./")


def _text(found: Mapping[str, bytes], path: str) -> str:
    try:
        return found[_plain(path)].decode()
    except (KeyError, UnicodeDecodeError):
        raise _refused(f"the bundle has no text {path!r}; it has {', '.join(found) or 'nothing'}") from None


def _refused(message: str) -> Refused:
    return Refused(422, "invalid_bundle", message)
