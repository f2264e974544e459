import pytest

from schemas.documents.scorer import ScorerSpec
from schemas.otlp.dialects import DIALECTS
from scorers.contains import Contains
from scorers.latency import Latency
from scorers.regex import Regex
from scorers.registry import build
from scorers.scorer import Scorer
from scorers.supply import OTHER, SUPPLIES, supplied_by
from tests.support.judged import example


def spec(kind: str, **settings: object) -> ScorerSpec:
    return ScorerSpec.model_validate({"type": kind, "with": settings})


@pytest.mark.parametrize(
    ("document", "scorer"),
    [
        (spec("contains", any=["a"], field="x", ignore_case=False), Contains(("a",), "x", ignore_case=False)),
        (spec("regex", pattern="a"), Regex("a")),
        (spec("latency", max_ms=5), Latency(5)),
    ],
)
def test_a_document_becomes_its_scorer(document: ScorerSpec, scorer: Scorer) -> None:
    assert build(document) == scorer


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (spec("contians"), "no scorer type 'contians'; did you mean 'contains'?"),
        (spec("zzz"), "no scorer type 'zzz'; there are contains, cost, hosted, json-schema, language, "),
        (spec("latency", max_ms=0), "latency: with.max_ms: Input should be greater than 0, got 0"),
        (spec("contains", any=[]), "contains: with.any: "),
        (spec("contains", any=[""]), "contains: with.any.0: "),
        (spec("contains", any=["a"], feild="x"), "contains: with.feild: no such setting; did you mean 'field'?"),
        (spec("cost", max_usdd=1), "cost: with.max_usdd: no such setting; did you mean 'max_usd'?"),
        (spec("latency", zzz=1), "latency: with.zzz: no such setting; there are max_ms"),
        (spec("cost"), "cost: with.max_usd: it is required"),
        (
            spec("cost", max_usd="x" * 500),
            f"cost: with.max_usd: Input should be a valid number, unable to parse string as a number, got '{'x' * 99}",
        ),
        (spec("regex", pattern="("), "regex: with: '(' is no regular expression: missing )"),
    ],
)
def test_a_wrong_document_is_refused_with_the_value_and_the_fix(document: ScorerSpec, reason: str) -> None:
    with pytest.raises(ValueError) as refused:  # noqa: PT011 - the text is compared below
        build(document)
    assert str(refused.value).startswith(reason)


SIZE = 300_000
HARD = [
    part * (SIZE // len(part))
    for part in ("a", "1", "1 ", "4242 ", "+1 (", "a@", "b.", "DE12 ", "2001:", "\\", "`", "[", "1,111,", "ssn ")
]
MESSAGE = '{"role":"user","content":"a"}'
HARD += ["I can't " * 30_000, "[" * 1000 + "]" * 1000, "https://" * 30_000, f"[{','.join([MESSAGE] * 9_000)}]"]


@pytest.mark.parametrize(
    ("kind", "settings"),
    [("contains", {"any": ["x"]}), ("json-schema", {"schema": {"type": "object"}}), ("language", {"any": ["en"]}), ("not-empty", {}),
     ("number", {"min": 0}), ("number", {"min": 0, "path": "a"}), ("pii", {}), ("refusal", {"within": 100_000}), ("regex", {"pattern": "x"}),
     ("tool-error", {})],
)  # fmt: skip
async def test_no_text_as_long_as_a_span_may_have_holds_the_worker(kind: str, settings: dict[str, object]) -> None:
    """A step that grew with the square of the length would take hours here."""
    scorer = build(spec(kind, **settings))
    verdicts = [await scorer.judge(example(output=text)) for text in HARD]
    assert all(verdict.reason for verdict in verdicts)


@pytest.mark.parametrize("dialect", sorted({table.name for table in DIALECTS if table.name}))
def test_every_dialect_that_is_read_has_its_own_supply(dialect: str) -> None:
    assert SUPPLIES[dialect] != OTHER
    assert supplied_by(dialect, "output") != supplied_by("of nobody", "output")


def test_what_is_missing_on_a_span_of_a_tool_may_have_a_setting_of_its_own() -> None:
    assert "OTEL_LOG_TOOL_CONTENT=1" in supplied_by("claude-code", "output", tool=True)
    assert "OTEL_LOG_ASSISTANT_RESPONSES=1" in supplied_by("claude-code", "output")
