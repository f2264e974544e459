"""What providers were paid today, kept on disk: a runner that starts again does not begin with a new budget."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from scorers.providers.allowance import Allowance

EVERY_S = 2.0

Allowances = Mapping[tuple[str, str], Allowance]


@dataclass
class Ledger:
    """One file. A crash loses what was spent in the last two seconds."""

    file: Path
    _kept: bytes = field(default=b"")

    def load(self) -> dict[tuple[str, str], Allowance]:
        """Returns the allowances as they were kept, by project and name of the provider."""
        try:
            rows = orjson.loads(self.file.read_bytes())
        except FileNotFoundError:
            return {}
        return {(project, name): Allowance(day=day, usd=usd) for project, name, day, usd in rows}

    def keep(self, allowances: Allowances) -> None:
        """Writes them, if they have changed."""
        rows = [(*place, one.day, one.usd) for place, one in sorted(allowances.items())]
        content = orjson.dumps(rows)
        if content == self._kept:
            return
        written = self.file.with_suffix(".new")
        written.write_bytes(content)
        written.replace(self.file)
        self._kept = content

    async def follow(self, allowances: Allowances) -> None:
        """Keeps them for ever."""
        while True:
            await asyncio.sleep(EVERY_S)
            self.keep(allowances)
