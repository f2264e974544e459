"""Prints how each tier that this machine offers holds: `python -m scorers.hosted.attacks [TIER …]`."""

import asyncio
import sys

from scorers.hosted.attacks.selftest import Report, selftest
from scorers.hosted.best import TIERS


async def matrix(names: list[str]) -> list[Report]:
    """Tries all attacks on the tiers named, or on all that hold by their own word."""
    reports = []
    for tier in TIERS:
        if names and tier.name not in names:
            continue
        probe = tier.probe()
        print(f"{tier.name}: {'starts here' if probe.holds else 'does not hold'}{'; ' if probe.why else ''}{probe.why}")
        if probe.holds:
            reports.append(await selftest(tier))
    return reports


def printed(reports: list[Report]) -> str:
    """Returns a table, attacks by tiers, and what each tier saw."""
    verdicts = {report.tier: {outcome.attack: outcome for outcome in report.outcomes} for report in reports}
    names = dict.fromkeys(name for outcomes in verdicts.values() for name in outcomes)
    lines = ["", f"{'attack':28}" + "".join(f"{tier:>14}" for tier in verdicts)]
    for name in names:
        words = {True: "stopped", False: "THROUGH", None: "not tried"}
        row = (outcomes[name].stopped if name in outcomes else None for outcomes in verdicts.values())
        lines.append(f"{name:28}" + "".join(f"{words[stopped]:>14}" for stopped in row))
    return "\n".join([*lines, "", *map(str, reports)])


def main() -> int:
    """Returns 1 if something got through."""
    reports = asyncio.run(matrix(sys.argv[1:]))
    print(printed(reports))
    return 0 if reports and all(report.holds for report in reports) else 1


if __name__ == "__main__":
    sys.exit(main())
