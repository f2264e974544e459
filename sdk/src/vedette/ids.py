"""Ids that this SDK makes: UUIDv7, so that they sort by time."""

import os
import time
from uuid import UUID

_VERSION = 0x7 << 76
_VARIANT = 0x2 << 62
_KEPT = ~(0xF << 76 | 0x3 << 62)


def uuid7() -> str:
    """Returns a UUIDv7 (RFC 9562 §5.7) of this millisecond."""
    number = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10))
    return str(UUID(int=number & _KEPT | _VERSION | _VARIANT))
