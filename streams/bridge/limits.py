"""What the bridge takes, and from whom how much: `VEDETTE_BRIDGE_*`."""

from collections import OrderedDict
from collections.abc import Callable
from math import ceil

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

MIB = 1024 * 1024


class Limits(BaseSettings):
    """Generous for honest exporters; every refusal names the limit it comes from."""

    model_config = SettingsConfigDict(env_prefix="VEDETTE_BRIDGE_", extra="ignore", frozen=True)

    body_bytes: int = Field(default=64 * MIB, ge=1024, description="of a body, as sent and again when inflated")
    inflate_ratio: int = Field(default=200, ge=10, description="inflated to sent bytes, looked at above 4 MiB")
    spans: int = Field(default=100_000, ge=1, description="of one body; resources and scopes count too")
    json_containers: int = Field(default=500_000, ge=100, description="objects and arrays of one JSON body")
    examples: int = Field(default=10_000, ge=1, description="of one body")
    read_s: float = Field(default=10, gt=0, description="seconds in which a body must have come")
    header_s: float = Field(default=20, ge=1, description="seconds in which the head of a request must have come")
    connections: int = Field(default=1024, ge=1, description="open at once; more wait to be accepted")
    held_bytes: int = Field(
        default=256 * MIB, ge=MIB, description="of all bodies that are being read or await their ack"
    )
    ack_s: float = Field(default=8, gt=0, description="seconds that Kafka has for its ack; exporters give up after 10")
    key_bytes_per_s: float = Field(
        default=100 * MIB, gt=0, description="inflated bytes of one key, ten seconds' worth at once"
    )
    strangers_per_s: float = Field(
        default=10, gt=0, description="refused keys from one address, ten seconds' worth at once"
    )


BURST_S = 10


class Buckets:
    """A token bucket for each of the newest `most` names; tokens may be overdrawn once and are paid back by waiting."""

    def __init__(self, per_s: float, clock: Callable[[], float], most: int = 10_000) -> None:
        self._per_s = per_s
        self._clock = clock
        self._most = most
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait_s(self, name: str) -> int:
        """Returns 0, or the whole seconds until the bucket holds something again."""
        tokens = self._tokens(name)
        return 0 if tokens > 0 else max(1, ceil(-tokens / self._per_s))

    def take(self, name: str, tokens: float) -> None:
        """Takes tokens, more than there are if need be."""
        self._buckets[name] = (self._tokens(name) - tokens, self._clock())
        self._buckets.move_to_end(name)
        if len(self._buckets) > self._most:
            self._buckets.popitem(last=False)

    def _tokens(self, name: str) -> float:
        full = self._per_s * BURST_S
        tokens, at = self._buckets.get(name, (full, 0.0))
        return min(full, tokens + (self._clock() - at) * self._per_s)
