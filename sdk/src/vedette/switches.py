"""The switches of the environment, read every second by a thread of ours: a look at the environment is too dear for every call."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping

from vedette.core import Core, cores, log

EVERY_S = 1.0
OFF = frozenset(("false", "0", "no", "off"))
MONITORING = ("VEDETTE_MONITORING", "JUDGMENT_MONITORING", "JUDGMENT_ENABLE_MONITORING")
EVALUATIONS = ("VEDETTE_EVALUATIONS", "JUDGMENT_EVALUATIONS", "JUDGMENT_ENABLE_EVALUATIONS")


def allowed(environ: Mapping[str, str], names: tuple[str, ...]) -> bool:
    """Returns whether none of the switches says false, 0, no or off."""
    return not any(environ.get(name, "").strip().lower() in OFF for name in names)


def read(core: Core) -> None:
    """Gives a tracer what the environment says now."""
    core.switch(spans=allowed(os.environ, MONITORING), scores=allowed(os.environ, EVALUATIONS))


class Watch:
    """The one thread that reads the switches for all tracers of the process."""

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Starts it unless it runs."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="vedette-switches", daemon=True)
            self._thread.start()

    def after_fork(self) -> None:
        """Starts it again in a child process, which has none of its parent's threads."""
        self._thread = None
        if cores:
            self.start()

    def _run(self) -> None:
        pause = threading.Event()
        while not pause.wait(EVERY_S):
            for core in tuple(cores):
                try:
                    read(core)
                except Exception as error:
                    log.debug("the switches could not be read", exc_info=error)


WATCH = Watch()
