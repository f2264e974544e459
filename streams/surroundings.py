"""What stands around an alert when people are to be told: silences and rules out of the configuration, and the other alerts."""

from functools import lru_cache

from schemas.documents.rule import RuleSpec
from schemas.documents.silence import SilenceSpec
from streams.api.alerts import Alerts
from streams.logic.configuration import Configuration
from streams.logic.quiet import Surroundings

_MOST = 1024


def of(configuration: Configuration, alerts: Alerts, project: str) -> Surroundings:
    """Returns the newest silences and rules of a project, and its open alerts."""
    silences = configuration.all_newest("Silence", project)
    return Surroundings(
        {name: _silence(version.spec) for name, version in silences.items()},
        rules(configuration, project),
        alerts.open(project),
    )


def rules(configuration: Configuration, project: str) -> dict[str, RuleSpec]:
    """Returns the newest version of every rule of a project."""
    return {name: _rule(version.spec) for name, version in configuration.all_newest("Rule", project).items()}


@lru_cache(_MOST)
def _silence(spec: bytes) -> SilenceSpec:
    return SilenceSpec.model_validate_json(spec)


@lru_cache(_MOST)
def _rule(spec: bytes) -> RuleSpec:
    return RuleSpec.model_validate_json(spec)
