"""Which version of a document is in effect at a time: a fold over `vedette.config`."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from schemas.config import ConfigEntry

TAKES_EFFECT_AFTER_MS = 2000
"""Between Kafka's append and effect: every job has read the entry by then, or pauses."""


@dataclass(frozen=True)
class Versioned:
    """One version of one document."""

    project: str
    kind: str
    name: str
    version: str
    spec: bytes
    deleted: bool
    effective_at: int
    description: str = ""


class Configuration:
    """Every version of every document, each with the time from which it is in effect."""

    def __init__(self) -> None:
        self._history: dict[tuple[str, str], dict[str, list[Versioned]]] = defaultdict(dict)
        self.revision = 0
        """Counts entries: whoever caches something derived compares it."""
        self.changes_at: list[int] = []
        """Times at which something took effect, in order: between two of them nothing changes."""

    def apply(self, entry: ConfigEntry, appended_at: int) -> None:
        """Adds one entry; entries come in the order of the log."""
        after = self.changes_at[-1] if self.changes_at else 0
        at = max(
            appended_at + TAKES_EFFECT_AFTER_MS, after
        )  # a broker's clock that steps back must not reorder versions
        version = Versioned(
            entry.project, entry.kind, entry.name, entry.version, entry.spec, entry.deleted, at, entry.description
        )
        self._history[entry.kind, entry.project].setdefault(entry.name, []).append(version)
        self.changes_at.append(at)
        self.revision += 1

    def in_effect(self, kind: str, project: str, at: int) -> Mapping[str, Versioned]:
        """Returns the documents of a kind in a project by name, as in effect at a time in milliseconds; deleted ones are left out."""
        history = self._history.get((kind, project), {})
        found = {name: _at(versions, at) for name, versions in history.items()}
        return {name: version for name, version in found.items() if version is not None and not version.deleted}

    def at(self, kind: str, project: str, name: str, at: int) -> Versioned | None:
        """Returns a document as in effect at a time, or None when there is none or it is deleted."""
        version = _at(self._history.get((kind, project), {}).get(name, []), at)
        return None if version is None or version.deleted else version

    def newest(self, kind: str, project: str, name: str) -> Versioned | None:
        """Returns the newest version of a document, or None when there is none or it is deleted."""
        versions = self._history.get((kind, project), {}).get(name)
        return None if not versions or versions[-1].deleted else versions[-1]

    def all_newest(self, kind: str, project: str) -> Mapping[str, Versioned]:
        """Returns the newest version of every document of a kind in a project; deleted ones are left out."""
        history = self._history.get((kind, project), {})
        return {name: versions[-1] for name, versions in history.items() if not versions[-1].deleted}

    def version(self, kind: str, project: str, name: str, version: str) -> Versioned | None:
        """Returns a version by its hash, whenever it was in effect."""
        versions = self._history.get((kind, project), {}).get(name, [])
        return next((v for v in reversed(versions) if v.version == version and not v.deleted), None)

    def history(self, kind: str, project: str, name: str) -> tuple[Versioned, ...]:
        """Returns every version of a document in the order of their effect, deletions included."""
        return tuple(self._history.get((kind, project), {}).get(name, ()))

    def projects(self) -> frozenset[str]:
        """Returns the projects that configuration names."""
        return frozenset(project for _, project in self._history if project)

    def epoch(self, at: int) -> int:
        """Returns a number that changes exactly when anything that is in effect changes."""
        return bisect_right(self.changes_at, at)


def _at(versions: list[Versioned], at: int) -> Versioned | None:
    index = bisect_right(versions, at, key=lambda version: version.effective_at)
    return versions[index - 1] if index else None
