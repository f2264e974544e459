"""Ports of one machine: a free one, or the wanted one if nobody has it."""

from __future__ import annotations

import socket
from pathlib import Path

LOOPBACK = "127.0.0.1"


class PortTakenError(Exception):
    """Somebody else listens on a port that was asked for; the text names the option that chooses another one."""


def free_port(host: str = LOOPBACK) -> int:
    """A TCP port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


def is_free(port: int, host: str = LOOPBACK) -> bool:
    """True if a server could listen on `port` now; connections that linger in TIME_WAIT do not count."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
        return True


def wanted_port(port: int, option: str, host: str = LOOPBACK) -> int:
    """`port` itself, or a free one for 0. Raises `PortTakenError`, which names `option`, if somebody listens there."""
    if port == 0:
        return free_port(host)
    if not is_free(port, host):
        raise PortTakenError(f"port {port} on {host} is taken; choose another one with {option} (0 = any free one)")
    return port


def _kept(file: Path) -> int:
    """Another start may be writing the file at this moment: then nothing is kept yet, and its lock decides who goes on."""
    text = file.read_text().strip() if file.exists() else ""
    return int(text) if text.isdecimal() else 0


def kept_port(file: Path, port: int, option: str) -> int:
    """The port of a server that keeps it in `file`: the wanted one, else the kept one while it is free, else a free one.

    What was chosen is kept for the next start. Raises `PortTakenError` like `wanted_port`.
    """
    kept = _kept(file)
    chosen = wanted_port(port or (kept if kept and is_free(kept) else 0), option)
    file.write_text(f"{chosen}\n")
    return chosen
