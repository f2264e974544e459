"""What stands around an alert when people are to be told: silences and rules out of the configuration, and the other alerts."""

from collections.abc import Mapping
from functools import lru_cache
from typing import TypeVar

import structlog
from pydantic import ValidationError

from schemas.documents.rule import RuleSpec
from schemas.documents.silence import SilenceSpec
from streams.api.alerts import Alerts
from streams.logic.configuration import Configuration, Versioned
from streams.logic.quiet import Surroundings

log = structlog.get_logger()

S = TypeVar("S", SilenceSpec, RuleSpec)


def of(configuration: Configuration, alerts: Alerts, project: str) -> Surroundings:
    """Returns the newest silences and rules of a project, and its open alerts."""
    silences = _readable(SilenceSpec, configuration.all_newest("Silence", project))
    return Surroundings(silences, rules(configuration, project), alerts.open(project))


def rules(configuration: Configuration, project: str) -> dict[str, RuleSpec]:
    """Returns the newest version of every rule of a project."""
    return _readable(RuleSpec, configuration.all_newest("Rule", project))


def _readable(cls: type[S], versions: Mapping[str, Versioned]) -> dict[str, S]:
    """Those that a later release wrote for itself are left out: what they would keep quiet is told."""
    found = {name: _parsed(cls, version.spec) for name, version in versions.items()}
    return {name: spec for name, spec in found.items() if spec is not None}


@lru_cache(2048)
def _parsed(cls: type[S], spec: bytes) -> S | None:
    """Parsed once: everything that is kept quiet is looked at every second."""
    try:
        return cls.model_validate_json(spec)
    except ValidationError as error:
        log.warning("cannot be read by this release", what=cls.__name__, error=str(error.errors()[0]["msg"]))
        return None
