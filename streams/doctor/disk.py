"""The disk of a local stack's data directory."""

import shutil
from collections.abc import Iterator

from streams.doctor.installation import Installation
from streams.doctor.result import Result, finding, ok
from streams.doctor.words import size

LEAST_FREE = 0.05
LEAST_FREE_BYTES = 2 * 1024**3


def data_dir(place: Installation) -> Iterator[Result]:
    """What is free where the local stack keeps its data; nothing when there is none."""
    if place.data_dir.is_dir():
        usage = shutil.disk_usage(place.data_dir)
        yield judged(str(place.data_dir), usage.free, usage.total)


def judged(where: str, free: int, total: int) -> Result:
    """Returns what so many free bytes of a volume mean."""
    value = f"{size(free)} of {size(total)} are free"
    if free < max(LEAST_FREE_BYTES, LEAST_FREE * total):
        return finding(where, value, "make room, or keep less: VEDETTE_RETENTION and start the stack again")
    return ok(where, value)
