from scorers.scorer import Verdict
from tests.support.judged import example, judged, span


async def test_a_span_passes_up_to_the_limit() -> None:
    at = await judged("cost", span(numbers={"cost_usd": 0.05, "tokens": 1200.0}), max_usd=0.05)
    over = await judged("cost", span(numbers={"cost_usd": 0.0501}), max_usd=0.05)
    assert at == Verdict(value=1.0, measured=0.05, reason="cost $0.05 for 1200 tokens, at most $0.05")
    assert over == Verdict(value=0.0, measured=0.0501, reason="cost $0.0501, more than $0.05")


async def test_a_span_without_a_cost_is_skipped_with_what_would_supply_it() -> None:
    told = {
        dialect: (await judged("cost", span(dialect=dialect), max_usd=1)) for dialect in ("otel-genai", "openinference")
    }
    assert all(verdict.skipped and verdict.value is None for verdict in told.values())
    assert "put `gen_ai.usage.cost` (US dollars) on the span" in told["otel-genai"].reason
    assert "put `llm.cost.total` on the span" in told["openinference"].reason


async def test_an_example_has_no_cost() -> None:
    verdict = await judged("cost", example(output="a"), max_usd=1)
    assert verdict == Verdict(skipped=True, reason="the example has no 'cost_usd'; use `target: span`")
