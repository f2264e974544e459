"""`vedette upload_scorer`: a scorer's file goes to the server, which builds it and runs it in its sandbox."""

from __future__ import annotations

import argparse
import json
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from vedette.address import find
from vedette.local import stack

WITHIN_S = 360
NOWHERE = "it is not known where to upload: set VEDETTE_API_URL and VEDETTE_API_KEY (a key with scope `upload`), or start a stack: `vedette up`"


class Refused(Exception):
    """The server does not take it; the text says why."""


def upload(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Uploads one file and returns the exit code: 0, it is in effect; 1, it is not, and stderr says why."""
    asked = _parser().parse_args(arguments)
    try:
        body: dict[str, Any] = {
            "code": _text(asked.file),
            "requirements": _text(asked.requirements) if asked.requirements else "",
            "name": asked.name,
            "overwrite": asked.overwrite,
        }
        url, key = _address(asked.data_dir, environ)
        print(f"building {asked.file} …", file=sys.stderr)
        told = _posted(f"{url}/api/v1/scorers{_query(asked.project)}", key, body)
    except Refused as refused:
        print(f"{refused}\nnothing was uploaded", file=sys.stderr)
        return 1
    print(told["log"], file=sys.stderr)
    print(json.dumps(told, indent=2, ensure_ascii=False) if asked.output == "json" else _line(told))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "vedette upload_scorer",
        description="Uploads a scorer: one file of Python with one class that derives from ExampleScorer. Returns when it judges.",
    )
    parser.add_argument("file", metavar="FILE", type=Path)
    parser.add_argument(
        "requirements", metavar="REQUIREMENTS", nargs="?", type=Path, help="what it imports, one a line"
    )
    parser.add_argument("-p", "--project", help="without: the key's only project, else all of the organization")
    parser.add_argument("--name", help="without: the scorer's own")
    parser.add_argument("--overwrite", action="store_true", help="make a new version of the scorer of that name")
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text")
    parser.add_argument("--data-dir", help="of a local stack (default: VEDETTE_DATA_DIR, else .vedette)")
    return parser


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode()
    except OSError as error:
        raise Refused(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise Refused(f"{path}: it is no UTF-8 (byte {error.start})") from None


def _address(data_dir: str | None, environ: Mapping[str, str]) -> tuple[str, str]:
    """The remote server that the environment names completely, else the local one."""
    own = {name: value for name, value in environ.items() if not name.startswith("OTEL_")}
    admin = {form: environ.get(f"VEDETTE_ADMIN_KEY{form}", "") for form in ("", "_FILE")}
    if any(admin.values()):
        own |= {f"VEDETTE_API_KEY{form}": value for form, value in admin.items()}
    named = find(None, None, own)
    if named is not None:
        return named.base, named.key
    local = stack(data_dir or environ.get("VEDETTE_DATA_DIR") or ".vedette", environ, "admin")
    if local is None:
        raise Refused(NOWHERE)
    return local


def _query(project: str | None) -> str:
    return f"?project={quote(project, safe='')}" if project else ""


def _posted(url: str, key: str, body: dict[str, Any]) -> dict[str, Any]:
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=WITHIN_S) as answer:  # noqa: S310
            told: dict[str, Any] = json.load(answer)
            return told
    except urllib.error.HTTPError as error:
        raise Refused(_reason(error)) from error
    except (OSError, ValueError) as error:
        raise Refused(f"{url} does not answer: {getattr(error, 'reason', error)}") from error


def _reason(error: urllib.error.HTTPError) -> str:
    try:
        return str(json.load(error)["message"])
    except (ValueError, KeyError, TypeError):
        return f"the server answered {error.code} {error.reason}"


def _line(told: Mapping[str, Any]) -> str:
    place = f"project {told['project']}" if told["project"] else "all projects"
    return f"{told['result']}: scorer {told['name']!r} version {told['version']} for {place}"
