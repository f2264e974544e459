"""Which partitioner put records where they are. Pure."""

import zlib
from collections.abc import Callable, Iterable, Mapping

from schemas.ids import partition_of

Placed = tuple[bytes, int, int]
"""A key, the partition that its record stands on, and how many there are."""
MURMUR2 = "murmur2"


def fnv1a(key: bytes, partitions: int) -> int:
    """Returns the partition that Sarama's hash partitioner gives a key: FNV-1a of 32 bits, as a signed number."""
    found = 0x811C9DC5
    for byte in key:
        found = (found ^ byte) * 0x01000193 & 0xFFFFFFFF
    signed = found - (1 << 32) if found >> 31 else found
    return abs(signed) % partitions


def crc32(key: bytes, partitions: int) -> int:
    """Returns the partition that librdkafka's default, `consistent_random`, gives a key."""
    return zlib.crc32(key) % partitions


KNOWN: Mapping[str, Callable[[bytes, int], int]] = {
    MURMUR2: partition_of,
    "crc32, librdkafka's default": crc32,
    "FNV-1a, Sarama's default (a Collector's, or a Go program's)": fnv1a,
}


def elsewhere(placed: Iterable[Placed]) -> list[Placed]:
    """Returns the records that do not stand where murmur2 puts them."""
    return [one for one in placed if partition_of(one[0], one[2]) != one[1]]


def used_by(placed: Iterable[Placed]) -> str:
    """Returns the name of the partitioner that explains where all of these stand, or that none does."""
    records = list(placed)
    fits = (name for name, of in KNOWN.items() if all(of(key, count) == partition for key, partition, count in records))
    return next(fits, "none that we know")
