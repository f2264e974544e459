"""What a sandbox is given to see: where it stands on the host, where inside, and what of the system comes with it."""

from dataclasses import dataclass
from pathlib import Path

from scorers.hosted.python import INSIDE, closed, interpreter, missing_python, reachable
from scorers.hosted.sandbox import NoRoom, Program, Room


@dataclass(frozen=True)
class Places:
    """Where things of the host stand inside."""

    python: Path
    inside: Path
    code: Path
    packages: Path | None
    shim: Path
    door: Path | None
    writable: Path | None

    def filled(self, argv: tuple[str, ...]) -> tuple[str, ...]:
        """Returns argv with each `{place}` as its path, empty where there is none."""
        for name, path in vars(self).items():
            argv = tuple(part.replace(f"{{{name}}}", str(path or "")) for part in argv)
        return argv


def on_host(room: Room, program: Program) -> Places:
    """Returns the places as the host knows them.

    Raises:
        NoRoom: a sandbox's uid cannot reach one; the text names the folder to open.

    """
    python = interpreter()
    if python is None:
        raise NoRoom(missing_python())
    for path in filter(None, (room.code, room.packages, program.writable)):
        if blocked := closed(path):
            raise NoRoom(f"a sandbox's uid cannot reach {path}: chmod o+rx {blocked}")
    return Places(
        python, reachable(INSIDE), room.code, room.packages, reachable(room.shim), room.door, program.writable
    )


def inside(host: Places) -> Places:
    """Returns where the things of a room stand in a sandbox with a file system of its own."""
    root = Path("/sandbox")
    return Places(
        python=host.python,
        inside=root / "inside",
        code=root / "code",
        packages=host.packages and root / "packages",
        shim=root / "shim",
        door=host.door and root / "door",
        writable=host.writable and root / "writable",
    )


SYSTEM = ("/bin", "/sbin", "/lib", "/lib32", "/lib64")
CERTIFICATES = "/etc/ssl/certs"


def links() -> list[tuple[str, str]]:
    """Returns the system's folders that are links, with where they lead."""
    return [(str(path.readlink()), str(path)) for path in map(Path, SYSTEM) if path.is_symlink()]


def system_folders() -> list[str]:
    """Returns what holds the system's programs and libraries; of /etc nothing but the linker's cache."""
    folders = [str(path) for path in map(Path, SYSTEM) if path.is_dir() and not path.is_symlink()]
    cache_of_linker = "/etc/ld.so.cache"
    return ["/usr", *folders, *([cache_of_linker] if Path(cache_of_linker).exists() else [])]


def binds(host: Places, there: Places) -> list[tuple[str, str, bool]]:
    """Returns what of the host stands where inside, and whether it may be written."""
    prefix = host.python.parent.parent
    bound = [] if prefix.is_relative_to("/usr") else [(str(prefix), str(prefix), False)]
    given = ((name, getattr(host, name), getattr(there, name)) for name in vars(host) if name != "python")
    bound += [(str(source), str(target), name in ("door", "writable")) for name, source, target in given if source]
    if host.door and Path(CERTIFICATES).is_dir():
        bound.append((CERTIFICATES, CERTIFICATES, False))
    return bound
