"""The scorers of a scoring worker: built once per version, asked by pairs."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Literal

import orjson

from schemas.documents.scorer import ScorerSpec
from schemas.request import Pair
from scorers.registry import build
from scorers.scorer import Scorer
from streams.logic.configuration import Configuration, Versioned

MOST = 4096
"""Scorers that are kept: requests may bring thresholds, models and options of their own."""

Own = Literal["threshold", "model", "options"]
"""What a request may name for itself."""


@dataclass
class Ready:
    """A scorer version that is built and may judge."""

    spec: ScorerSpec
    scorer: Scorer
    slots: asyncio.Semaphore | None
    """None: it bounds time and number by itself."""

    @asynccontextmanager
    async def bounds(self) -> AsyncIterator[None]:
        """Waits for a slot and limits the time of what is done in it."""
        if self.slots is None:
            yield
            return
        async with self.slots, asyncio.timeout(self.spec.timeout):
            yield


Make = Callable[[ScorerSpec, str, str, Configuration], Ready]
"""Makes a scorer of a spec, a project, its name and the configuration that has what it names; raises `ValueError`."""


def built_in(spec: ScorerSpec, _project: str, _name: str, _configuration: Configuration) -> Ready:
    """Returns a scorer that is part of Vedette."""
    return Ready(spec, build(spec), asyncio.Semaphore(spec.concurrency))


@dataclass
class Bench:
    """The scorers of this worker, made once per version."""

    make: Make = built_in
    heeds: tuple[Own, ...] = ()
    """What of a request's own its scorers judge by; `make` finds it in `with`."""
    _ready: dict[tuple[str, ...], Ready] = field(default_factory=dict)
    _enabled: dict[Versioned, bool] = field(default_factory=dict)

    def take(self, configuration: Configuration, project: str, pair: Pair) -> Ready:
        """Returns the scorer that a pair asks for.

        Raises:
            LookupError: there is none, or it is disabled now; the text says what to do.
            ValueError: its document cannot be built.
        """
        key = (project, pair.scorer, pair.base_version, *(str(getattr(pair, name)) for name in self.heeds))
        newest = configuration.newest("Scorer", project, pair.scorer)
        if newest and not self._is_enabled(newest):
            raise LookupError(f"scorer {pair.scorer!r} is disabled: apply its document with `enabled: true`")
        if key not in self._ready:
            spec = _spec(configuration, project, pair)
            spec = spec.model_copy(update={"with_": spec.with_ | _own(pair, self.heeds)})
            if len(self._ready) >= MOST:
                self._ready.clear()
            self._ready[key] = self.make(spec, project, pair.scorer, configuration)
        return self._ready[key]

    def _is_enabled(self, newest: Versioned) -> bool:
        """A scorer is disabled at once, whatever version a subject asks for."""
        if newest not in self._enabled:
            self._enabled[newest] = ScorerSpec.model_validate_json(newest.spec).enabled
        return self._enabled[newest]


def _spec(configuration: Configuration, project: str, pair: Pair) -> ScorerSpec:
    found = configuration.version("Scorer", project, pair.scorer, pair.base_version) if pair.base_version else None
    if found is None:
        version = f"no version {pair.version!r} of scorer" if pair.version else "no scorer"
        raise LookupError(f"project {project!r} has {version} {pair.scorer!r}: apply its document, then send again")
    return ScorerSpec.model_validate_json(found.spec)


def _own(pair: Pair, heeds: tuple[Own, ...]) -> dict[str, object]:
    """What the request names for itself, and nothing else."""
    options = orjson.loads(pair.options) if pair.options else None
    own = {"threshold": pair.threshold, "model": pair.model or None, "options": options or None}
    return {name: own[name] for name in heeds if own[name] is not None}
