"""A package index of one's own on loopback, with packages made on the fly: honest ones and hostile ones."""

import io
import json
import tarfile
import threading
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

from packaging.utils import canonicalize_name


def wheel(
    name: str,
    version: str = "1.0",
    files: Mapping[str, str | bytes] | None = None,
    requires: tuple[str, ...] = (),
    metadata: str = "",
) -> tuple[str, bytes]:
    """Returns the file name and the bytes of a wheel for every Python."""
    info = f"{name}-{version}.dist-info"
    needed = "".join(f"Requires-Dist: {one}\n" for one in requires)
    content: dict[str, str | bytes] = {
        **(files or {f"{name}.py": f"VERSION = {version!r}\n"}),
        f"{info}/METADATA": metadata or f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needed}",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{path},,\n" for path in content) + f"{info}/RECORD,,\n"
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for path, text in {**content, f"{info}/RECORD": record}.items():
            archive.writestr(path, text)
    return f"{name}-{version}-py3-none-any.whl", out.getvalue()


def sdist(name: str, version: str, setup: str, further: Mapping[str, str] | None = None) -> tuple[str, bytes]:
    """Returns the file name and the bytes of a source distribution with this `setup.py`."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        files = {"setup.py": setup, "PKG-INFO": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"}
        for path, text in {**files, **(further or {})}.items():
            entry = tarfile.TarInfo(f"{name}-{version}/{path}")
            entry.size = len(text.encode())
            archive.addfile(entry, io.BytesIO(text.encode()))
    return f"{name}-{version}.tar.gz", out.getvalue()


@dataclass
class LocalIndex:
    """What it serves, and who asked for what."""

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    listed_hashes: dict[str, str] = field(default_factory=dict)
    """Of the pages, where they are not the files' own."""
    uploaded: dict[str, str] = field(default_factory=dict)
    """Times of upload, by file name."""
    html: bool = False
    asked: list[str] = field(default_factory=list)

    def add(self, made: tuple[str, bytes], uploaded: str = "") -> str:
        """Takes a file; returns its name."""
        name, content = made
        self.files[name] = content
        if uploaded:
            self.uploaded[name] = uploaded
        return name

    def page(self, project: str) -> tuple[str, bytes] | None:
        """The page of a project with its type; None: there is no such project."""
        names = [name for name in self.files if canonicalize_name(name.split("-")[0]) == project]
        if not names:
            return None
        hashes = {name: self.listed_hashes.get(name, sha256(self.files[name]).hexdigest()) for name in names}
        if self.html:
            links = "".join(f'<a href="../../files/{name}#sha256={hashes[name]}">{name}</a>\n' for name in names)
            return "text/html", f"<!doctype html><html><body>{links}</body></html>".encode()
        entries = [
            {"filename": name, "url": f"/files/{name}", "hashes": {"sha256": hashes[name]}}
            | ({"upload-time": self.uploaded[name]} if name in self.uploaded else {})
            for name in names
        ]
        page = {"meta": {"api-version": "1.1"}, "name": project, "files": entries}
        return "application/vnd.pypi.simple.v1+json", json.dumps(page).encode()


@contextmanager
def serving(index: LocalIndex) -> Iterator[LocalIndex]:
    """Serves an index, changed at will meanwhile, and sets its URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            index.asked.append(self.path)
            _, kind, name, *_ = [*unquote(self.path).split("/"), ""]
            found = index.page(name) if kind == "simple" else None
            if kind == "files" and name in index.files:
                found = ("application/octet-stream", index.files[name])
            self.send_response(200 if found else 404)
            content_type, body = found or ("text/plain", b"none")
            self.send_header("content-type", content_type)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    index.url = f"http://127.0.0.1:{server.server_port}/simple/"
    try:
        yield index
    finally:
        server.shutdown()
        server.server_close()
