"""Prices are the providers' own lists, in US dollars for a million tokens; the sums are worked out by hand."""

import pytest

from schemas.otlp.cost import cost

MARCH_2026 = 1_772_409_600_000_000
"""2026-03-02 00:00 UTC in microseconds"""

MILLIONTH = 1e-6


@pytest.mark.parametrize(
    ("provider", "model", "tokens", "millionths"),
    [
        # gpt-4o-mini: 0.15 in, 0.075 cached, 0.60 out: 65 x 0.15 + 64 x 0.075 + 17 x 0.6
        ("openai", "gpt-4o-mini-2024-07-18", (129, 17, 64, 0, 0), 24.75),
        # reasoning is a part of the output and costs the same: 45 x 0.15 + 128 x 0.075 + 23 x 0.6
        ("openai", "gpt-4o-mini", (173, 23, 128, 0, 8), 30.15),
        # gpt-4o: 2.50 in, 1.25 cached, 10 out
        ("openai", "gpt-4o-2024-08-06", (211, 19, 0, 0, 0), 717.5),
        # Claude Sonnet 4.5: 3 in, 0.30 read from the cache, 3.75 written to it, 15 out: 65 x 3 + 64 x 0.3 + 32 x 3.75 + 17 x 15
        ("anthropic", "claude-sonnet-4-5-20250929", (161, 17, 64, 32, 0), 589.2),
        # text-embedding-3-small: 0.02
        ("openai", "text-embedding-3-small", (9, 0, 0, 0, 0), 0.18),
        # a provider that sells another's model under its own name: 3 in, 15 out
        ("aws.bedrock", "anthropic.claude-3-5-sonnet-20240620-v1:0", (1000, 100, 0, 0, 0), 4500),
        # without a provider the model's name tells it
        ("", "gpt-4o-mini", (1000, 0, 0, 0, 0), 150),
    ],
)
def test_a_call_costs_its_tokens_times_the_list_price(
    provider: str, model: str, tokens: tuple[int, int, int, int, int], millionths: float
) -> None:
    assert cost(provider, model, MARCH_2026, *tokens) == pytest.approx(millionths * MILLIONTH)


@pytest.mark.parametrize(
    ("input_tokens", "dollars"),
    [
        (200_000, 200_000 * 1.25e-6 + 10 * 10e-6),
        (200_001, 200_001 * 2.5e-6 + 10 * 15e-6),
    ],
)
def test_a_long_input_makes_every_token_of_the_call_dearer(input_tokens: int, dollars: float) -> None:
    assert cost("gcp.gemini", "gemini-2.5-pro", MARCH_2026, input_tokens, 10) == pytest.approx(dollars)


@pytest.mark.parametrize(
    ("provider", "model"),
    [("openai", ""), ("", ""), ("nobody", "gpt-4o-mini"), ("openai", "our-own-model-7b"), ("", "q")],
)
def test_a_model_or_provider_that_nobody_lists_has_no_price(provider: str, model: str) -> None:
    assert cost(provider, model, MARCH_2026, 10, 10) is None


@pytest.mark.parametrize("tokens", [(10, 10, 8, 3, 0), (10, 10, 0, 0, 11)])
def test_parts_that_are_more_than_the_whole_have_no_price(tokens: tuple[int, int, int, int, int]) -> None:
    assert cost("openai", "gpt-4o-mini", MARCH_2026, *tokens) is None


def test_a_price_is_that_of_the_time_of_the_call() -> None:
    """OpenAI made o3 cheaper on 10 June 2025: 10 in and 40 out before, 2 and 8 since."""
    may, july = 1_746_057_600_000_000, 1_751_328_000_000_000
    assert cost("openai", "o3", may, 1000, 100) == pytest.approx(0.014)
    assert cost("openai", "o3", july, 1000, 100) == pytest.approx(0.0028)
