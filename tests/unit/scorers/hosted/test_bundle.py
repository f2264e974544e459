"""An uploaded file is read as text: one scorer, or a clear reason why not."""

import pytest

from scorers.hosted.bundle import MAX_CODE_BYTES, Bundle, InvalidBundle, inspect

HEAD = "from vedette.scorers import ExampleScorer\n"
BODY = "    async def a_score_example(self, example):\n        return 1.0\n"


@pytest.mark.parametrize(
    ("head", "base"),
    [
        ("from vedette import ExampleScorer", "ExampleScorer"),
        ("from vedette.scorers.example_scorer import ExampleScorer as Base", "Base"),
        ("import vedette.scorers", "vedette.scorers.ExampleScorer"),
        ("import vedette.scorers as vs", "vs.ExampleScorer"),
        ("from vedette import scorers", "scorers.ExampleScorer"),
        ("from judgeval.scorers.example_scorer import ExampleScorer", "ExampleScorer"),
        ("from judgeval.scorers import ExampleScorer", "ExampleScorer"),
        ("try:\n    from judgeval.scorers import ExampleScorer\nexcept ImportError:\n    raise", "ExampleScorer"),
    ],
)
def test_a_scorer_is_known_by_what_it_derives_from_however_it_is_imported(head: str, base: str) -> None:
    found = inspect(f"{head}\n\nclass Mine({base}):\n{BODY}")
    assert (found.class_name, found.kind) == ("Mine", "example")


def test_scorers_of_traces_and_newer_judges_are_known() -> None:
    trace = (
        "from vedette.scorers import TraceScorer\nclass T(TraceScorer):\n    def a_score_trace(self, trace): return 1\n"
    )
    judge = (
        "from judgeval.judges import Judge\nfrom judgeval.hosted.responses import BinaryResponse as R\n"
        "class J(Judge[R]):\n    async def score(self, data): return R(value=True, reason='')\n"
    )
    assert [(f.class_name, f.kind) for f in map(inspect, (trace, judge))] == [("T", "trace"), ("J", "example")]


def test_a_class_that_others_derive_from_is_no_scorer_of_its_own() -> None:
    found = inspect(f"{HEAD}class Base(ExampleScorer):\n{BODY}\nclass Mine(Base):\n    name = 'mine'\n")
    assert (found.class_name, found.line) == ("Mine", 6)


def test_the_packages_that_a_file_imports_are_known() -> None:
    code = f"import os.path as p\nfrom openai.types import chat\nfrom . import x\n{HEAD}class M(ExampleScorer):\n{BODY}"
    assert inspect(code).imports == {"os", "openai", "vedette"}


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("", "there is no scorer: write `from vedette.scorers import ExampleScorer`"),
        ("class ExampleScorer: pass\nclass M(ExampleScorer): pass", "its classes are ExampleScorer, M"),
        ("from other import ExampleScorer\nclass M(ExampleScorer): pass", "there is no scorer"),
        (f"{HEAD}def f():\n    class M(ExampleScorer): pass", "there is no scorer"),
        (f"{HEAD}class A(ExampleScorer):\n{BODY}class B(ExampleScorer):\n{BODY}", "2 scorers: A (line 2), B (line 5)"),
        (f"{HEAD}class A(ExampleScorer):\n    pass\n", "line 2: class A has no method a_score_example"),
        (f"{HEAD}class A(ExampleScorer:\n", "line 2: "),
        (f"{HEAD}x = '\0'\n", "line 2: a NUL character"),
        (f"{HEAD}x = '\ud800'\n", "line 2: the text is no UTF-8"),
        ("x" * (MAX_CODE_BYTES + 1), f"the file has {MAX_CODE_BYTES + 1} bytes, at most {MAX_CODE_BYTES}"),
        ("if 1:\n\tx\n        y\n", "line 3: "),
        ("# -*- coding: nonsense -*-\n", "there is no scorer"),
    ],
)
def test_what_is_no_scorer_is_refused_with_the_line_and_the_fix(code: str, why: str) -> None:
    with pytest.raises(InvalidBundle) as refused:
        inspect(code)
    assert why in str(refused.value)


@pytest.mark.parametrize(
    "code",
    [
        "(" * 100_000,
        "-" * 200_000 + "1",
        "x" + ".a" * 100_000,
        "x" + "[0]" * 80_000,
        "1" + "+1" * 100_000,
        "f" + "()" * 100_000,
        "lambda: " * 30_000 + "1",
        "not " * 60_000 + "x",
        "".join(" " * depth + "if x:\n" for depth in range(600)) + " " * 600 + "x\n",
        "x = " * 50_000 + "1",
        "9" * 200_000,
        "if x: pass\n" + "elif x: pass\n" * 900,
        "if x: pass\n" + "elif x: pass\n" * 2500,
        "".join(f"class A{number}(A{number - 1}): pass\n" for number in range(1, 7000)),
        "class A(A, B): pass\nclass B(A): pass",
    ],
    ids=range(15),
)
def test_a_file_that_is_made_to_break_a_parser_is_refused_and_breaks_nothing(code: str) -> None:
    with pytest.raises(InvalidBundle):
        inspect(code)


def test_a_bundle_is_known_by_its_content() -> None:
    assert Bundle("a", "b").hash == Bundle("a", "b").hash
    assert len({Bundle("a", "b").hash, Bundle("ab", "").hash, Bundle("a", "c").hash}) == 3
