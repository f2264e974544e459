"""What a package index's page lists (the simple repository API, as JSON or HTML), and what of it a build may see. Pure."""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from html.parser import HTMLParser
from typing import Any
from urllib.parse import unquote, urldefrag, urljoin, urlsplit

from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

JSON = "application/vnd.pypi.simple.v1+json"
ACCEPT = f"{JSON}, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1"
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+!-]{0,200}\.whl")


class Unreadable(ValueError):
    """It is no page of a package index."""


@dataclass(frozen=True)
class File:
    """One file of a project, as its page tells."""

    name: str
    url: str
    sha256: str = ""
    requires_python: str | None = None
    has_metadata: bool = False
    """The index serves the wheel's metadata beside it."""
    yanked: bool | str = False
    uploaded_at: float | None = None
    """Seconds since the epoch; None: the index does not tell."""


def parse(body: bytes, content_type: str, url: str) -> list[File]:
    """Returns the files of a page.

    Args:
        body: as fetched.
        content_type: by which JSON is told from HTML.
        url: of the page, for links that are relative.

    Raises:
        Unreadable: the body is neither.

    """
    try:
        found = _of_json(json.loads(body), url) if "json" in content_type else _of_html(body.decode(), url)
        return [one for one in found if urlsplit(one.url).scheme in ("http", "https")]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise Unreadable(f"{type(error).__name__}: {error}") from error


def _of_json(page: Any, url: str) -> list[File]:
    return [
        File(
            name=str(one["filename"]),
            url=urljoin(url, urldefrag(one["url"])[0]),
            sha256=str(one.get("hashes", {}).get("sha256", "")),
            requires_python=one.get("requires-python"),
            has_metadata=bool(one.get("core-metadata", one.get("data-dist-info-metadata"))),
            yanked=one.get("yanked", False),
            uploaded_at=_time(one.get("upload-time")),
        )
        for one in page["files"]
    ]


def _time(text: str | None) -> float | None:
    return datetime.fromisoformat(text).timestamp() if text else None


class _Anchors(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[dict[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            self.found.append(dict(attrs))


def _of_html(text: str, url: str) -> list[File]:
    anchors = _Anchors()
    anchors.feed(text)
    return [_of_anchor(one, urljoin(url, href)) for one in anchors.found if (href := one.get("href"))]


def _of_anchor(attributes: dict[str, str | None], url: str) -> File:
    url, fragment = urldefrag(url)
    kind, _, digest = fragment.partition("=")
    return File(
        name=unquote(urlsplit(url).path.rpartition("/")[2]),
        url=url,
        sha256=digest if kind == "sha256" else "",
        requires_python=attributes.get("data-requires-python"),
        has_metadata="data-core-metadata" in attributes or "data-dist-info-metadata" in attributes,
        yanked=attributes.get("data-yanked") or "data-yanked" in attributes,
    )


@dataclass(frozen=True)
class Seen:
    """What a build may see of a project, and what it should know about the rest."""

    files: tuple[File, ...]
    notes: tuple[str, ...] = ()


def seen(project: str, files: Sequence[File], now: float, min_age_s: float) -> Seen:
    """Returns the wheels of a project that are old enough, and why others are hidden.

    Args:
        project: its normalised name.
        files: of its page.
        now: seconds since the epoch.
        min_age_s: younger files are hidden; 0: none is.

    """
    wheels = [one for one in files if _is_wheel_of(project, one.name)]
    notes = []
    if files and not wheels:
        notes.append(f"{project}: the index has no wheels of it, and nothing is built from source here")
    if min_age_s and any(one.uploaded_at is None for one in wheels):
        notes.append(f"{project}: the index does not tell upload times, so a minimal age hides its files")
    kept = tuple(one for one in wheels if not min_age_s or _age(one, now) >= min_age_s)
    young = sum(1 for one in wheels if one.uploaded_at is not None and _age(one, now) < min_age_s)
    if young:
        notes.append(f"{project}: {young} files are younger than {min_age_s / 86400:g} days and hidden")
    return Seen(kept, tuple(notes))


def _age(file: File, now: float) -> float:
    return float("-inf") if file.uploaded_at is None else now - file.uploaded_at


def _is_wheel_of(project: str, name: str) -> bool:
    """Its name becomes a file's: a page must not be able to write anywhere else."""
    try:
        return bool(_FILE_NAME.fullmatch(name)) and canonicalize_name(parse_wheel_filename(name)[0]) == project
    except InvalidWheelFilename:
        return False


def page(project: str, files: Iterable[tuple[File, str]]) -> bytes:
    """Returns the page that pip is shown, with each file under a URL of ours."""
    listed = [
        {
            "filename": one.name,
            "url": url,
            "hashes": {"sha256": one.sha256} if one.sha256 else {},
            "requires-python": one.requires_python,
            "core-metadata": one.has_metadata,
            "yanked": one.yanked,
        }
        for one, url in files
    ]
    return json.dumps({"meta": {"api-version": "1.0"}, "name": project, "files": listed}).encode()
