import pytest

from schemas.otlp.dialects.table import Dialect
from schemas.otlp.raw import Attributes
from schemas.otlp.tables import Tables, compiled
from schemas.otlp.walk import REMEMBERED, REMEMBERED_CHARS, Best, walk


@pytest.fixture
def tables() -> Tables:
    first = Dialect(name="first", fields={"model": ("a", "b"), "input_tokens": ("n",)})
    return compiled([first, Dialect(name="second", fields={"model": ("c",)})])


def best_of(attributes: Attributes, tables: Tables) -> Best:
    best: Best = {}
    walk(attributes, best, tables)
    return best


def test_the_first_source_that_says_something_wins_wherever_it_stands(tables: Tables) -> None:
    found = best_of([("c", "third"), ("b", "second"), ("a", "")], tables)
    assert found == {"model": (1, "second", "b")}


def test_attributes_of_the_same_names_are_read_anew_for_every_span(tables: Tables) -> None:
    assert best_of([("a", "x"), ("n", 1)], tables) == {"model": (0, "x", "a"), "input_tokens": (3, 1, "n")}
    assert best_of([("a", ""), ("n", "2")], tables) == {"input_tokens": (3, 2, "n")}
    assert len(tables.plans) == 1


def test_of_an_attribute_that_is_sent_twice_the_last_stands(tables: Tables) -> None:
    best: Best = {}
    assert walk([("a", "x"), ("a", "y")], best, tables) == {"a": "y"}
    assert best == {"model": (0, "y", "a")}


def test_secrets_are_masked_by_the_names_of_their_attributes_and_other_values_become_texts(tables: Tables) -> None:
    assert walk([("api_key", "k"), ("flag", True), ("list", [1])], {}, tables) == {
        "api_key": "***",
        "flag": "true",
        "list": "[1]",
    }


def test_no_more_names_are_remembered_than_fit(tables: Tables) -> None:
    for number in range(REMEMBERED + 10):
        assert best_of([("a", str(number)), (f"made up {number}", "")], tables)["model"][1] == str(number)
    assert len(tables.plans) == 10
    assert best_of([("a", "x"), ("y" * REMEMBERED_CHARS, "")], tables)["model"][1] == "x"
    assert len(tables.plans) == 10
