"""Which tier this machine offers."""

from collections.abc import Sequence
from dataclasses import dataclass

from scorers.hosted.sandbox import Sandbox
from scorers.hosted.tiers.bubblewrap import Bubblewrap
from scorers.hosted.tiers.landlock import Landlock
from scorers.hosted.tiers.namespaces import Namespaces

TIERS: tuple[Sandbox, ...] = (Bubblewrap(), Namespaces(), Landlock())
"""The best first."""


@dataclass(frozen=True)
class Best:
    """The best tier that starts here; whether it holds is for the attacks to say (`attacks.selftest`)."""

    sandbox: Sandbox | None
    told: str
    """Which one, why no better one, and what to install for it."""


def best(tiers: Sequence[Sandbox] = TIERS) -> Best:
    """Returns the best tier that starts on this machine."""
    refused: list[str] = []
    for tier in tiers:
        probe = tier.probe()
        if probe.holds:
            told = [f"sandbox tier {tier.name}", probe.why, *refused]
            return Best(tier, "; ".join(filter(None, told)))
        refused.append(f"no {tier.name}: {probe.why}")
    return Best(None, "; ".join(["no sandbox tier holds here, uploads are refused", *refused]))
