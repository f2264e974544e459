"""The newer of two releases: see `tests.support.releases`."""

from streams.settings import Settings
from tests.support.releases import NewBall, play


def main(settings: Settings) -> None:
    """Runs until SIGTERM."""
    play(settings, "newer", "older", NewBall)
