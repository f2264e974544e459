"""What a type checker must see through: it is checked by tests/sdk/test_types.py, and never run."""

from collections.abc import AsyncIterator, Iterator
from typing import assert_type

from vedette import Dataset, Example, ExampleScorer, Tracer, VedetteClient

tracer = Tracer(project_name="shop")


class Agent:
    @tracer.agent(identifier="name")
    @tracer.observe(span_type="tool")
    def run(self, question: str, *, times: int = 1) -> list[str]:
        return [question] * times

    @tracer.observe
    @staticmethod
    def still(n: int) -> int:
        return n

    @tracer.observe()
    @classmethod
    def make(cls, n: int) -> "Agent":
        return cls() if n else Agent()


@tracer.observe
async def later(n: int) -> str:
    return str(n)


@tracer.observe()
def items(n: int) -> Iterator[int]:
    yield n


@tracer.agent
async def more(n: int) -> AsyncIterator[int]:
    yield n


class Asynchronous(ExampleScorer):
    async def a_score_example(self, example: Example) -> float:
        return float(example.value)


class Plain(ExampleScorer):
    def a_score_example(self, example: Example) -> float:
        return float(example.value)


async def seen() -> None:
    assert_type(Agent().run("a", times=2), list[str])
    assert_type(Agent.still(1), int)
    assert_type(Agent.make(1), Agent)
    assert_type(items(1), Iterator[int])
    assert_type(await later(1), str)
    async for one in more(1):
        assert_type(one, int)
    results = VedetteClient().run_evaluation(
        [Example(value=1), {"value": 2}], [Asynchronous, Plain(threshold=0.9), "Polite"]
    )
    assert_type(results[0].success, bool)
    assert_type(list(Dataset.get("golden")), list[Example])
    Agent().run(3)  # type: ignore[arg-type]
