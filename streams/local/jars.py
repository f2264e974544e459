"""The jars that Kafka runs on, pinned: `kafka-jars.lock` lists every one with its SHA-256.

    python -m streams.local.kafka lock      resolves again and rewrites the list; commit the result

Starting a broker resolves nothing: it takes exactly the listed jars from jgo's cache (the local Maven repository),
downloads those that are missing, and refuses any whose hash differs.
"""

from __future__ import annotations

import fcntl
import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jgo.maven import Artifact, MavenContext

LOCK = Path(__file__).with_name("kafka-jars.lock")
# Resolved one by one: resolved together, a logging binding's own version table downgrades kafka-clients and Kafka
# cannot start.
ROOTS = ("org.apache.kafka:kafka_2.13:4.3.1", "org.slf4j:slf4j-simple:1.7.36")
_HEADER = (
    "# The jars of Apache Kafka, group:artifact:version and SHA-256. Written by `python -m streams.local.kafka lock`.\n"
)


class JarError(Exception):
    """A jar cannot be had, or is not the one that the lock names."""


@dataclass(frozen=True)
class Jar:
    """One jar of the lock: its Maven coordinates `group:artifact:version` and its SHA-256 in hex."""

    coordinates: str
    sha256: str


def read_lock(text: str) -> list[Jar]:
    """The jars that the text of a lock names, in its order."""
    lines = (line for line in text.splitlines() if line and not line.startswith("#"))
    return [Jar(*line.split()) for line in lines]


def write_lock(jars: list[Jar]) -> str:
    """The text of a lock, one jar a line, sorted."""
    return _HEADER + "".join(f"{jar.coordinates} {jar.sha256}\n" for jar in sorted(jars, key=lambda j: j.coordinates))


def fetch(lock: Path = LOCK, maven: MavenContext | None = None) -> list[Path]:
    """The files of every jar in `lock`, downloaded if absent and verified. Raises `JarError` that names the jar.

    `maven` is where they are kept and come from, by default what the user's jgo settings say.
    """
    context = maven or _maven()
    with _alone(context.repo_cache / ".vedette-jars.lock"), ThreadPoolExecutor(8) as pool:
        return list(pool.map(lambda jar: _verified(context, jar), read_lock(lock.read_text())))


def relock(lock: Path = LOCK) -> list[Jar]:
    """Resolves `ROOTS` anew, downloads what is missing and rewrites `lock` with what was found."""
    import jgo  # noqa: PLC0415 - only writing the lock needs it

    found = {_coordinates(artifact): artifact for root in ROOTS for artifact in jgo.resolve(root)}
    jars = [Jar(coordinates, sha256(artifact.resolve())) for coordinates, artifact in found.items()]
    lock.write_text(write_lock(jars))
    return jars


def sha256(file: Path) -> str:
    """The SHA-256 of a file in hex."""
    with file.open("rb") as data:
        return hashlib.file_digest(data, "sha256").hexdigest()


def _verified(context: MavenContext, jar: Jar) -> Path:
    """A file whose hash is wrong is fetched once more: a download that was interrupted leaves a part of the jar."""
    file = _resolved(context, jar)
    if sha256(file) == jar.sha256:
        return file
    file.unlink()
    file = _resolved(context, jar)
    if (found := sha256(file)) != jar.sha256:
        file.unlink()
        raise JarError(f"{jar.coordinates} is not the jar that {LOCK.name} names: sha256 {found}, not {jar.sha256}")
    return file


def _resolved(context: MavenContext, jar: Jar) -> Path:
    group, name, version = jar.coordinates.split(":")
    try:
        return context.project(group, name).at_version(version).artifact().resolve()
    except (RuntimeError, OSError, ValueError) as error:
        raise JarError(f"cannot fetch {jar.coordinates}, which the local Kafka needs: {error}") from error


def _coordinates(artifact: Artifact) -> str:
    return f"{artifact.groupId}:{artifact.artifactId}:{artifact.version}"


def _maven() -> MavenContext:
    try:
        from jgo.config import GlobalSettings  # noqa: PLC0415 - an optional dependency
        from jgo.constants import MAVEN_CENTRAL_URL  # noqa: PLC0415
        from jgo.maven import MavenContext  # noqa: PLC0415
    except ImportError as error:
        raise JarError(
            "the local Kafka needs jgo: install vedette-pipeline[local], or give --bootstrap-servers"
        ) from error
    settings = GlobalSettings.load()
    repositories = {"central": MAVEN_CENTRAL_URL, **settings.repositories}
    return MavenContext(repo_cache=settings.repo_cache, remote_repos=repositories, timeout=60)


@contextmanager
def _alone(file: Path) -> Iterator[None]:
    """Two processes must not download at once: jgo writes in place."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield
