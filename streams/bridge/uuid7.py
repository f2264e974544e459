"""UUIDv7: the only random id of ours, for examples that came with none."""

from uuid import UUID


def uuid7(at_ms: int, random: bytes) -> str:
    """Returns a UUIDv7 (RFC 9562 §5.7) of a time in milliseconds since the epoch and 10 random bytes.

    >>> uuid7(1_645_557_742_000, bytes.fromhex("0cc3" "18c4dc0c0c07398f"))
    '017f22e2-79b0-7cc3-98c4-dc0c0c07398f'
    """
    number = at_ms << 80 | int.from_bytes(random)
    number &= ~(0xF << 76 | 0x3 << 62)
    return str(UUID(int=number | 0x7 << 76 | 0x2 << 62))
