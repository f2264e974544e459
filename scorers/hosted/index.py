"""The only thing that pip reaches from inside a sandbox: one package index, seen through a door on the host.

A proxy that lets pip connect to the hosts of an index would let it, and whatever else runs there, connect to everything on those hosts; the
files stand on other hosts than the pages; credentials, certificates and proxies of the operator would have to go inside. Here the host
fetches instead: pip asks for a project's page and is shown its wheels, old enough and allowed, each under a URL of ours; a wheel is
fetched whole, checked against the page's hash and against the limits of a build, and only then handed in.
"""

import asyncio
import hashlib
import os
import ssl
import struct
import tempfile
import time
import zipfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import aiohttp
from aiohttp import web
from packaging.utils import canonicalize_name, parse_wheel_filename
from yarl import URL

from scorers.hosted import pages
from scorers.hosted.pages import ACCEPT, JSON, File

MIB = 1024 * 1024
MAX_PAGE = 64 * MIB
MAX_DIRECTORY = 16 * MIB
CHUNK = 256 * 1024


@dataclass(frozen=True)
class Index:
    """A package index: the only one that builds use."""

    url: str
    """Of its simple API, with user and password if it wants them."""
    certificates: str = ""
    """File of the authorities that sign its certificate; empty: the system's."""
    min_age_s: float = 0.0
    """Files uploaded later than so many seconds ago are hidden; 0: none is."""
    allow: tuple[str, ...] = ()
    """Names that may be installed, dependencies too; none: all."""


@dataclass(frozen=True)
class Wheel:
    """A wheel that was handed in."""

    project: str
    version: str
    sha256: str


@dataclass
class Budget:
    """What one build may still take in."""

    packages: int = 200
    bytes: int = 500 * MIB
    """Of the wheels' content, unpacked."""
    files: int = 50_000


class Refused(Exception):
    """The door does not hand this in; the text is for the uploader."""


@dataclass
class Door:
    """One build's view of the index: what it was handed, and what its author should know."""

    index: Index
    work: Path
    """For wheels while they are checked."""
    session: aiohttp.ClientSession
    now: float
    budget: Budget
    socket: Path
    handed: dict[str, Wheel] = field(default_factory=dict)
    """By file name."""
    notes: dict[str, None] = field(default_factory=dict)
    """In order, each once."""
    _known: dict[str, File] = field(default_factory=dict)
    _base: str = ""

    async def page(self, request: web.Request) -> web.StreamResponse:
        """Answers with what pip may see of a project."""
        project = request.match_info["project"]
        if canonicalize_name(project) != project or not project.isascii():
            return web.Response(status=404)
        if self.index.allow and project not in self.index.allow:
            self.notes[f"{project} is not on this installation's list of packages (VEDETTE_INDEX_ALLOW)"] = None
            return web.Response(status=404)
        url = f"{self.index.url.rstrip('/')}/{quote(project)}/"
        try:
            async with self.session.get(_bare(url), headers={"accept": ACCEPT, **_auth(url)}) as answer:
                if answer.status == 404:
                    self.notes[f"{project}: the index has no such project"] = None
                    return web.Response(status=404)
                answer.raise_for_status()
                body = await _read(answer, MAX_PAGE)
                files = pages.parse(body, answer.content_type, str(answer.url))
        except (aiohttp.ClientError, TimeoutError, Refused, pages.Unreadable) as error:
            return self._failed(project, error)
        found = pages.seen(project, files, self.now, self.index.min_age_s)
        self.notes.update(dict.fromkeys(found.notes))
        self._known.update({one.name: one for one in found.files})
        listed = pages.page(project, ((one, f"/files/{quote(one.name)}") for one in found.files))
        return web.Response(body=listed, content_type=JSON)

    async def file(self, request: web.Request) -> web.StreamResponse:
        """Answers with a wheel that a page listed, or its metadata."""
        name = request.match_info["name"]
        wheel = name.removesuffix(".metadata")
        known = self._known.get(wheel)
        if known is None:
            return web.Response(status=404)
        try:
            if name != wheel:
                return web.Response(body=await self._metadata(known))
            return web.FileResponse(await self._checked(known))
        except (aiohttp.ClientError, TimeoutError, Refused, zipfile.BadZipFile) as error:
            return self._failed(name, error)

    async def _metadata(self, known: File) -> bytes:
        url = f"{known.url}.metadata"
        async with self.session.get(_bare(url), headers=self._auth_of(url)) as answer:
            answer.raise_for_status()
            return await _read(answer, MIB)

    async def _checked(self, known: File) -> Path:
        """Fetches a wheel whole; returns it when its hash is the page's and its content fits what is left of the build's limits."""
        path = self.work / known.name
        if known.name in self.handed:
            return path
        if len(self.handed) >= self.budget.packages:
            raise Refused("the requirements and what they depend on are more packages than a build may have")
        digest = hashlib.sha256()
        async with self.session.get(_bare(known.url), headers=self._auth_of(known.url)) as answer:
            answer.raise_for_status()
            with path.open("wb") as file:
                async for chunk in _chunks(answer, self.budget.bytes):
                    digest.update(chunk)
                    file.write(chunk)
        if known.sha256 and digest.hexdigest() != known.sha256:
            raise Refused(f"{known.name} has the hash {digest.hexdigest()}, the index's page says {known.sha256}")
        self._spend(known.name, *await asyncio.to_thread(_content, path))
        name, version, _, _ = parse_wheel_filename(known.name)
        self.handed[known.name] = Wheel(name, str(version), digest.hexdigest())
        return path

    def _spend(self, name: str, size: int, files: int) -> None:
        if size > self.budget.bytes:
            raise Refused(f"{name} unpacks to {size // MIB} MiB; {self.budget.bytes // MIB} MiB are left of the limit")
        if files > self.budget.files:
            raise Refused(f"{name} holds {files} files; {self.budget.files} are left of the limit")
        self.budget.bytes -= size
        self.budget.files -= files

    def _auth_of(self, url: str) -> dict[str, str]:
        """The index's own credentials go to its own host alone."""
        own, other = URL(self.index.url), URL(url)
        return _auth(self.index.url) if (own.host, own.port) == (other.host, other.port) else _auth(url)

    def _failed(self, what: str, error: Exception) -> web.Response:
        told = str(error) if isinstance(error, Refused) else f"{what}: {type(error).__name__}: {_told(error)}"
        self.notes[told] = None
        return web.Response(status=403 if isinstance(error, Refused) else 502, text=told)


@asynccontextmanager
async def door(index: Index, work: Path, budget: Budget, clock: Callable[[], float] = time.time) -> AsyncIterator[Door]:
    """Serves one build's view of an index on a unix socket.

    Args:
        index: which.
        work: an empty folder of the host's own, for the wheels.
        budget: what the build may take in; it is used up.
        clock: seconds since the epoch, for the age of files.

    """
    context = await asyncio.to_thread(ssl.create_default_context, cafile=index.certificates or None)
    connector = aiohttp.TCPConnector(ssl=context, limit=8)
    timeout = aiohttp.ClientTimeout(total=None, connect=20, sock_read=30)
    async with aiohttp.ClientSession(connector=connector, trust_env=True, timeout=timeout) as session:
        with _socket_folder() as folder:
            opened = Door(index, work, session, clock(), budget, folder / "door")
            serving = await _serve(opened)
            try:
                yield opened
            finally:
                await serving.cleanup()


@contextmanager
def _socket_folder() -> Iterator[Path]:
    """A folder with a short name, since a socket's path has at most 107 bytes, that the uid of a sandbox can reach."""
    with tempfile.TemporaryDirectory(prefix="vedette-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


async def _serve(opened: Door) -> web.AppRunner:
    app = web.Application()
    app.add_routes([web.get("/simple/{project}/", opened.page), web.get("/files/{name}", opened.file)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.UnixSite(runner, str(opened.socket)).start()
    opened.socket.chmod(0o666)
    return runner


async def _chunks(answer: aiohttp.ClientResponse, limit: int) -> AsyncIterator[bytes]:
    size = 0
    async for chunk in answer.content.iter_chunked(CHUNK):
        size += len(chunk)
        if size > limit:
            raise Refused(f"{answer.url.name} is larger than the {limit // MIB} MiB that are left of the limit")
        yield chunk


async def _read(answer: aiohttp.ClientResponse, limit: int) -> bytes:
    return b"".join([chunk async for chunk in _chunks(answer, limit)])


def _content(wheel: Path) -> tuple[int, int]:
    """The size that a wheel unpacks to, and its number of files, as its directory says: whoever unpacks it never writes more."""
    if _directory_size(wheel) > MAX_DIRECTORY:
        raise Refused(f"{wheel.name} has a directory of more than {MAX_DIRECTORY // MIB} MiB")
    with zipfile.ZipFile(wheel) as archive:
        entries = archive.infolist()
        return sum(one.file_size for one in entries), len(entries)


def _directory_size(wheel: Path) -> int:
    """The size of an archive's directory, from its end record (APPNOTE 4.3.16): reading the directory takes many times as much memory."""
    with wheel.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - 65_557))
        tail = file.read()
    at = tail.rfind(b"PK\5\6")
    if at < 0 or len(tail) < at + 22 or tail[max(0, at - 20) : at].startswith(b"PK\6\7"):
        raise zipfile.BadZipFile("it is no wheel, or larger than wheels are")
    (size,) = struct.unpack_from("<L", tail, at + 12)
    return int(size)


def _auth(url: str) -> dict[str, str]:
    parts = URL(url)
    return {"authorization": aiohttp.encode_basic_auth(parts.user, parts.password or "")} if parts.user else {}


def _bare(url: str) -> URL:
    return URL(url).with_user(None)


def _told(error: Exception) -> str:
    """What went wrong without the URL, which may hold a password."""
    if isinstance(error, aiohttp.ClientResponseError):
        return f"the index answered {error.status} {error.message}"
    return str(error).split("http", 1)[0][:300] or "no answer"
