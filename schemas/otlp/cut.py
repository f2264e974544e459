"""Long texts are cut: their head and tail are kept, and a marker tells their length and hash."""

from hashlib import sha256

TEXT_LIMIT = 256 * 1024
"""bytes of UTF-8 that one text may take"""


def cut_text(text: str, limit: int = TEXT_LIMIT) -> tuple[str, bool]:
    """Returns a text of at most `limit` bytes of UTF-8, and whether it had to be cut.

    >>> cut_text("short", 100)
    ('short', False)
    """
    if len(text) * 4 <= limit:
        return text, False
    data = text.encode("utf-8", "replace")
    if len(data) <= limit:
        return text, False
    marker = f"\n[… cut: {len(data)} bytes, sha256 {sha256(data).hexdigest()} …]\n".encode()
    room = limit - len(marker)
    if room < 0:
        return _whole(data[:limit]), True
    tail = room // 3
    kept = (data[: room - tail], marker, data[len(data) - tail :])
    return "".join(map(_whole, kept)), True


def _whole(data: bytes) -> str:
    """Characters that were cut in two are left out."""
    return data.decode("utf-8", "ignore")
