"""Which version of a document is in effect at a time: a fold over `vedette.config`."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from schemas.config import ConfigEntry

TAKES_EFFECT_AFTER_MS = 2000
"""Between Kafka's append and effect: every job has read the entry by then, or pauses."""

SHARED = frozenset(("Scorer", "Bundle", "Provider"))
"""Kinds that the organization may have for all of its projects, as documents of the project "": a project's own of that name wins."""


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
    by: str = ""


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
            *(entry.project, entry.kind, entry.name, entry.version, entry.spec, entry.deleted, at, entry.description),
            by=entry.by,
        )
        self._history[entry.kind, entry.project].setdefault(entry.name, []).append(version)
        self.changes_at.append(at)
        self.revision += 1

    def in_effect(self, kind: str, project: str, at: int) -> Mapping[str, Versioned]:
        """Returns the documents of a kind in a project by name, as in effect at a time in milliseconds; deleted ones are left out."""
        found: dict[str, Versioned] = {}
        for place in reversed(_places(kind, project)):
            versions = ((name, _at(history, at)) for name, history in self._history.get((kind, place), {}).items())
            found |= {name: version for name, version in versions if version is not None and not version.deleted}
        return found

    def at(self, kind: str, project: str, name: str, at: int) -> Versioned | None:
        """Returns a document as in effect at a time, or None when there is none or it is deleted."""
        found = (_at(versions, at) for versions in self._versions(kind, project, name))
        return next((version for version in found if version is not None and not version.deleted), None)

    def newest(self, kind: str, project: str, name: str) -> Versioned | None:
        """Returns the newest version of a document, or None when there is none or it is deleted."""
        found = (versions[-1] for versions in self._versions(kind, project, name))
        return next((version for version in found if not version.deleted), None)

    def all_newest(self, kind: str, project: str) -> Mapping[str, Versioned]:
        """Returns the newest version of every document of a kind that is the project's own; deleted ones are left out."""
        history = self._history.get((kind, project), {})
        return {name: versions[-1] for name, versions in history.items() if not versions[-1].deleted}

    def version(self, kind: str, project: str, name: str, version: str) -> Versioned | None:
        """Returns a version by its hash, whenever it was in effect."""
        found = (v for versions in self._versions(kind, project, name) for v in reversed(versions))
        return next((v for v in found if v.version == version and not v.deleted), None)

    def history(self, kind: str, project: str, name: str) -> tuple[Versioned, ...]:
        """Returns every version of a document in the order of their effect, deletions included."""
        every = [v for versions in self._versions(kind, project, name) for v in versions]
        return tuple(sorted(every, key=lambda version: version.effective_at))

    def _versions(self, kind: str, project: str, name: str) -> list[list[Versioned]]:
        """The versions of the project's own document, then those of the organization's."""
        found = (self._history.get((kind, place), {}).get(name) for place in _places(kind, project))
        return [versions for versions in found if versions]

    def projects(self) -> frozenset[str]:
        """Returns the projects that configuration names."""
        return frozenset(project for _, project in self._history if project)

    def epoch(self, at: int) -> int:
        """Returns a number that changes exactly when anything that is in effect changes."""
        return bisect_right(self.changes_at, at)


def _at(versions: list[Versioned], at: int) -> Versioned | None:
    index = bisect_right(versions, at, key=lambda version: version.effective_at)
    return versions[index - 1] if index else None


def _places(kind: str, project: str) -> tuple[str, ...]:
    return (project, "") if project and kind in SHARED else (project,)
