"""The api, what it says about destinations (it has their secrets, as deliver has), and the processes of a local stack."""

from collections.abc import Iterator

from streams.cli.client import ApiError
from streams.doctor.installation import Installation
from streams.doctor.result import Result, finding, ok, unknown
from streams.local import stack
from streams.local.datadir import DataDir

ANSWER_S = 3.0
DESTINATIONS_S = 7.0


def answers(place: Installation) -> Iterator[Result]:
    """Whether the api answers and takes our key."""
    if place.api is None:
        yield unknown("no api is known", "set VEDETTE_API_URL and VEDETTE_ADMIN_KEY")
        return
    try:
        documents = place.api.within(ANSWER_S).get("/api/v1/documents", kind="Rule", project=None)["documents"]
    except ApiError as error:
        fix = (
            "start `vedette api`; its log tells why it ended" if not error.status else "use a key with the scope admin"
        )
        yield finding("the api cannot be asked", str(error), fix)
        return
    yield ok("api", f"{place.api.url}, {len(documents)} rules")


def destinations(place: Installation) -> Iterator[Result]:
    """Whether secrets of destinations can be read, mail servers take our login, and Slack our token and channel."""
    if place.api is None:
        return
    told = place.api.within(DESTINATIONS_S).get("/api/v1/destinations/check")["checks"]
    for one in told:
        yield Result(one["state"], one["what"], one["value"], one["fix"])
    if not told:
        yield ok("destinations", "there are none")


def processes(place: Installation) -> Iterator[Result]:
    """Processes of the local stack that are down; nothing when it is not ours."""
    data = DataDir(place.data_dir)
    if not data.path.is_dir() or data.holder() is None:
        return
    found = stack.recorded(data)["processes"]
    down = {name: process for name, process in found.items() if process["state"] != "running"}
    for name, process in down.items():
        value = f"{process['state']}, {process['restarts']} restarts"
        yield finding(f"{name} does not run", value, f"see {data.logs / name}.log")
    if not down:
        yield ok("processes", f"all {len(found)} run")
