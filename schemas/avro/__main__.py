"""Writes or checks `schemas/avro/*.avsc`."""

import json
import sys
from pathlib import Path

from schemas.avro import RECORDS
from schemas.record import avro_schema

FOLDER = Path(__file__).parent


def main() -> int:
    """Writes every schema file; with `--check` reports those that differ and returns 3."""
    wanted = {FOLDER / f"{cls.__name__}.avsc": json.dumps(avro_schema(cls), indent=2) + "\n" for cls in RECORDS}
    if "--check" not in sys.argv:
        for path, text in wanted.items():
            path.write_text(text)
        return 0
    stale = [path.name for path, text in wanted.items() if not path.is_file() or path.read_text() != text]
    if stale:
        print(f"out of date: {', '.join(stale)}; run `python -m schemas.avro` and commit", file=sys.stderr)
    return 3 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
