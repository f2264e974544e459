"""Messages as confluent-kafka hands them over, without a broker."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Letter:
    """What a dead letter's message tells."""

    headers_: Mapping[str, bytes] = field(default_factory=dict)
    key_: bytes | None = b"k"
    value_: bytes | None = b"v"
    partition_: int = 0
    offset_: int = 0
    time_ms: int = 1000

    def headers(self) -> list[tuple[str, bytes]]:
        return list(self.headers_.items())

    def key(self) -> bytes | None:
        return self.key_

    def value(self) -> bytes | None:
        return self.value_

    def partition(self) -> int:
        return self.partition_

    def offset(self) -> int:
        return self.offset_

    def timestamp(self) -> tuple[int, int]:
        return 1, self.time_ms
