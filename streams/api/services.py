"""What the endpoints work with."""

from dataclasses import dataclass

from streams.api.alerts import Alerts
from streams.api.auth import DEFAULT_PROJECT
from streams.api.commands import CommandLog
from streams.api.documents import SecretCheck
from streams.api.publish import ConfigLog, RecordLog
from streams.settings import Settings


@dataclass(frozen=True)
class Services:
    """The configuration, the alerts, the settings of the job, and what it writes with."""

    settings: Settings
    config: ConfigLog
    alerts: Alerts
    commands: CommandLog
    secret_problem: SecretCheck
    records: RecordLog

    def projects(self) -> frozenset[str]:
        """Returns the projects that configuration or alerts name; `default` always exists."""
        return self.config.configuration.projects() | self.alerts.projects() | {DEFAULT_PROJECT}
