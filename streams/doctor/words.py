"""Numbers for people."""


def size(count: float) -> str:
    """Returns bytes as a text.

    >>> size(1536)
    '1.5 KiB'
    """
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def span(seconds: float) -> str:
    """Returns a time as a text of one unit.

    >>> span(5400)
    '1.5 h'
    """
    if seconds < 120:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
    return f"{seconds / 3600:.1f} h" if seconds < 2 * 86400 else f"{seconds / 86400:.1f} d"


def share(part: int, whole: int) -> str:
    """Returns a part of a whole as a text.

    >>> share(5, 20)
    '5 of 20 (25 %)'
    """
    return f"{part:,} of {whole:,} ({part / max(whole, 1):.0%})".replace("%)", " %)")
