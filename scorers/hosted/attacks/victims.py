"""What a hostile scorer is given to attack: harmless things of the host, on loopback and in a folder of their own."""

import os
import secrets
import shutil
import socket
import subprocess
import tempfile
import threading
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from types import TracebackType


class Victims(AbstractContextManager["Victims"]):
    """A listening port, two unix sockets, another scorer's file, a file left in /tmp, a secret."""

    def __init__(self) -> None:
        self.secret = f"secret-{secrets.token_hex(8)}"
        self.folder = Path(tempfile.mkdtemp(prefix="vedette-victims-", dir="/var/tmp"))
        self.folder.chmod(0o755)
        self.left = Path("/tmp", f"vedette-left-{secrets.token_hex(4)}")  # noqa: S108 - a neighbour's, on purpose
        self.abstract = f"vedette-victim-{secrets.token_hex(4)}"
        self._listening: list[socket.socket] = []

    def __enter__(self) -> "Victims":
        for path in (self.left, self.folder / "other.py"):
            path.write_text(self.secret, encoding="ascii")
            path.chmod(0o644)
        marks = self.folder / "marks"
        marks.mkdir()
        marks.chmod(0o777)
        self._listen(socket.AF_INET, ("127.0.0.1", 0))
        self._listen(socket.AF_UNIX, str(self.folder / "victim.sock"))
        self._listen(socket.AF_UNIX, f"\0{self.abstract}")
        (self.folder / "victim.sock").chmod(0o777)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for listening in self._listening:
            with suppress(OSError):
                listening.shutdown(socket.SHUT_RDWR)
            listening.close()
        self.left.unlink(missing_ok=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _listen(self, family: int, address: tuple[str, int] | str) -> None:
        listening = socket.socket(family)
        listening.bind(address)
        listening.listen(16)
        self._listening.append(listening)
        threading.Thread(target=_answer, args=(listening,), daemon=True).start()

    @property
    def port(self) -> int:
        return int(self._listening[0].getsockname()[1])

    def marker(self, name: str) -> Path:
        """Returns a file that only code run outside a sandbox can make."""
        return self.folder / "marks" / name

    def example(self, attack: str, victim: int, much: int) -> dict[str, object]:
        """Returns what the hostile scorer is told."""
        return {
            "attack": attack,
            "port": self.port,
            "socket": str(self.folder / "victim.sock"),
            "abstract": self.abstract,
            "other": str(self.folder / "other.py"),
            "left": str(self.left),
            "secret": self.secret,
            "marker": str(self.marker(attack)),
            "victim": victim,
            "much": much,
            "host": socket.gethostname(),
        }


def sleeper(uid: int, secret: str) -> subprocess.Popen[bytes]:
    """Starts a process of a sandbox's uid, with a secret in its environment, that only waits."""
    as_uid = uid if os.geteuid() == 0 else None
    return subprocess.Popen(
        ["/bin/sleep", "60"],
        user=as_uid,
        group=as_uid,
        extra_groups=None if as_uid is None else [],
        env={"SLACK_TOKEN": secret},
        start_new_session=True,
    )


def _answer(listening: socket.socket) -> None:
    with suppress(OSError):
        while True:
            caller, _ = listening.accept()
            with caller, suppress(OSError):
                caller.sendall(b"VICTIM")
