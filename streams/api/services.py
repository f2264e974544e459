"""What the endpoints work with."""

from dataclasses import dataclass

from streams.api.alerts import Alerts
from streams.api.auth import DEFAULT_PROJECT
from streams.api.commands import CommandLog
from streams.api.documents import SecretCheck
from streams.api.publish import ConfigLog
from streams.settings import Settings


@dataclass(frozen=True)
class Services:
    """The configuration, the alerts and the settings of the job."""

    settings: Settings
    config: ConfigLog
    alerts: Alerts
    commands: CommandLog
    secret_problem: SecretCheck

    def projects(self) -> frozenset[str]:
        """Returns the projects that configuration or alerts name; `default` always exists."""
        return self.config.configuration.projects() | self.alerts.projects() | {DEFAULT_PROJECT}
