"""The older of two releases: see `tests.support.releases`."""

from streams.settings import Settings
from tests.support.releases import OldBall, play


def main(settings: Settings) -> None:
    """Runs until SIGTERM."""
    play(settings, "older", "newer", OldBall)
