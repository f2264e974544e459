"""Where a tracer reports, and with which key: both from the same family of settings, so no key meets a stranger's server."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit


@dataclass(frozen=True)
class Address:
    """A server and the key that it knows."""

    family: str
    traces_url: str
    examples_url: str
    headers: dict[str, str] = field(repr=False)
    key: str = field(repr=False)

    @property
    def base(self) -> str:
        """The server's URL."""
        return self.examples_url.removesuffix("/v1/examples")


def find(url: str | None, key: str | None, environ: Mapping[str, str]) -> Address | None:
    """Returns the first complete pair of URL and key.

    The constructor's; `VEDETTE_API_*`, by which the constructor's half is completed, too; `JUDGMENT_API_*`; `OTEL_EXPORTER_OTLP_*`.
    """
    for found in _families(url, key, environ):
        if found is not None and _is_url(found.traces_url) and _is_url(found.examples_url):
            return found
    return None


def project_header(project: str) -> dict[str, str]:
    """Returns the header that names the project, percent-encoded."""
    return {"x-vedette-project": quote(project, safe=" ").replace(" ", "%20")}


def _families(url: str | None, key: str | None, environ: Mapping[str, str]) -> Iterator[Address | None]:
    own = (_text(environ, "VEDETTE_API_URL"), _secret(environ, "VEDETTE_API_KEY"))
    if url or key:
        yield _bearer("constructor", url or own[0], key or ("" if url and not _same(url, own[0]) else own[1]))
    yield _bearer("VEDETTE_API_*", *own)
    organization = _text(environ, "JUDGMENT_ORG_ID")
    further = {"x-organization-id": organization} if organization else {}
    yield _bearer("JUDGMENT_API_*", _text(environ, "JUDGMENT_API_URL"), _text(environ, "JUDGMENT_API_KEY"), further)
    yield _otel(environ)


def _bearer(family: str, url: str, key: str, further: Mapping[str, str] | None = None) -> Address | None:
    if not url or not key or not key.isascii() or not key.isprintable():
        return None
    base = url.rstrip("/")
    headers = {"authorization": f"Bearer {key}", **(further or {})}
    return Address(family, f"{base}/v1/traces", f"{base}/v1/examples", headers, key)


def _otel(environ: Mapping[str, str]) -> Address | None:
    base = _text(environ, "OTEL_EXPORTER_OTLP_ENDPOINT").rstrip("/")
    traces = _text(environ, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") or (f"{base}/v1/traces" if base else "")
    base = base or traces.removesuffix("/v1/traces").rstrip("/")
    told = _text(environ, "OTEL_EXPORTER_OTLP_TRACES_HEADERS") or _text(environ, "OTEL_EXPORTER_OTLP_HEADERS")
    pairs = (pair.partition("=") for pair in told.split(",") if "=" in pair)
    headers = {name.strip().lower(): unquote(value.strip()) for name, _, value in pairs}
    key = headers.get("x-api-key") or headers.get("authorization", "").rpartition(" ")[2]
    if not traces or not key:
        return None
    return Address("OTEL_EXPORTER_OTLP_*", traces, f"{base}/v1/examples", headers, key)


def _text(environ: Mapping[str, str], name: str) -> str:
    return environ.get(name, "").strip()


def _secret(environ: Mapping[str, str], name: str) -> str:
    file = _text(environ, f"{name}_FILE")
    if _text(environ, name) or not file:
        return _text(environ, name)
    try:
        return Path(file).read_text().strip()
    except OSError:
        return ""


def _same(one: str, other: str) -> bool:
    return urlsplit(one)[:2] == urlsplit(other)[:2]


def _is_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)
