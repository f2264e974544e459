"""What a call to a model costs: the prices that the package genai-prices ships, applied to the tokens that were counted.

The package's own sum takes 125 µs a call. Here it is done once for each model and its prices are kept as floats. Nothing is
ever fetched: prices are those of the installed release.
"""

from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from typing import NamedTuple

from genai_prices.data_snapshot import find_provider_by_id, get_snapshot
from genai_prices.types import ModelInfo, ModelPrice, TieredPrices

SENT = "span"
PRICED = "priced"

_PROVIDERS = {"x_ai": "x-ai", "gcp.gen_ai": "google", "azure.ai.inference": "azure"}
"""our names of providers that the package does not know under them"""

_SLOT_US = 15 * 60 * 1_000_000
"""Prices change at the full quarter of an hour at most: by day, and for some models by the time of the day."""

_KNOWN = 4096
"""models and their prices that are remembered; more names than there are models come from a faulty client"""

_MILLION = 1_000_000


class Price(NamedTuple):
    """US dollars for a million tokens; another price holds for all tokens of a call whose input is above a threshold."""

    base: float
    tiers: tuple[tuple[int, float], ...] = ()
    """(more input tokens than these, price), the highest threshold first"""

    def at(self, input_tokens: int) -> float:
        """Returns the price in a call with so many input tokens."""
        return next((price for start, price in self.tiers if input_tokens > start), self.base)


class Prices(NamedTuple):
    """The prices of one model; what has none is billed as plain input or output."""

    input: Price
    output: Price
    cache_read: Price | None
    cache_write: Price | None
    reasoning: Price | None


def cost(
    provider: str,
    model: str,
    start_us: int,
    input_tokens: int,
    output_tokens: int,
    cached: int = 0,
    cache_write: int = 0,
    reasoning: int = 0,
) -> float | None:
    """Returns US dollars for a call that began at `start_us`, microseconds since the epoch, at the prices of that time.

    `cached` and `cache_write` are parts of the input, `reasoning` is a part of the output. None: the model is unknown, or has
    no price for tokens, or the parts are more than the whole.
    """
    if cached + cache_write > input_tokens or reasoning > output_tokens:
        return None
    found = _fixed(provider, model)
    prices = _at(provider, model, start_us // _SLOT_US) if isinstance(found, ModelInfo) else found
    if prices is None:
        return None
    return _sum(prices, input_tokens, output_tokens, cached, cache_write, reasoning)


def _sum(prices: Prices, plain: int, output: int, cached: int, cache_write: int, reasoning: int) -> float:
    total, size = 0.0, plain
    if prices.cache_read is not None:
        total += cached * prices.cache_read.at(size)
        plain -= cached
    if prices.cache_write is not None:
        total += cache_write * prices.cache_write.at(size)
        plain -= cache_write
    if prices.reasoning is not None:
        total += reasoning * prices.reasoning.at(size)
        output -= reasoning
    return (total + plain * prices.input.at(size) + output * prices.output.at(size)) / _MILLION


@lru_cache(maxsize=_KNOWN)
def _fixed(provider: str, model: str) -> Prices | ModelInfo | None:
    """A model's prices, or the model if they depend on the time."""
    found = _find(provider, model)
    if found is None or isinstance(found.prices, list):
        return found
    return _prices(found.prices)


@lru_cache(maxsize=_KNOWN)
def _at(provider: str, model: str, slot: int) -> Prices | None:
    found = _fixed(provider, model)
    if not isinstance(found, ModelInfo):
        return None
    return _prices(found.get_prices(datetime.fromtimestamp(slot * _SLOT_US / 1_000_000, UTC)))


def _find(provider: str, model: str) -> ModelInfo | None:
    """Without a provider the model's name tells it. The package's own look-up would remember every name that it was ever asked."""
    known = get_snapshot().providers
    if not model:
        return None
    if provider:
        seller = find_provider_by_id(known, _PROVIDERS.get(provider, provider))
    else:
        name = model.lower()
        seller = next((one for one in known if one.model_match and one.model_match.is_match(name)), None)
    return seller.find_model(model, all_providers=known) if seller else None


def _prices(price: ModelPrice) -> Prices | None:
    plain, output = _price(price.input_mtok), _price(price.output_mtok)
    if plain is None and output is None:
        return None
    return Prices(
        plain or Price(0.0),
        output or Price(0.0),
        _price(price.cache_read_mtok),
        _price(price.cache_write_mtok),
        _price(price.output_reasoning_mtok),
    )


def _price(price: Decimal | TieredPrices | None) -> Price | None:
    if price is None or isinstance(price, Decimal):
        return None if price is None else Price(float(price))
    tiers = sorted(((tier.start, float(tier.price)) for tier in price.tiers), reverse=True)
    return Price(float(price.base), tuple(tiers))
