"""What is written when people add to datasets and remove from them."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from schemas.dataset import DatasetItem
from schemas.ids import dataset_item_id
from sinks.clickhouse.datasets import Item
from streams.api.dataset_changes import NewItem, added, misfits, removed


class Kept:
    """What ClickHouse holds of one dataset: of an item the last that was written, as it was written."""

    def __init__(self) -> None:
        self.items: dict[str, DatasetItem] = {}

    def write(self, items: Sequence[DatasetItem]) -> None:
        self.items |= {item.item_id: item for item in items}

    def known(self) -> dict[str, list[Item]]:
        found: dict[str, list[Item]] = defaultdict(list)
        for one in self.items.values():
            told = [getattr(one, name) for name in Item._fields if name != "fields"]
            found[one.subject_id].append(Item(*told[:7], one.fields.decode(), told[7]))
        return found

    def at(self, version: int) -> dict[str, bytes]:
        return {
            one.subject_id: one.fields
            for one in self.items.values()
            if one.added_at <= version and (not one.removed or one.removed_at > version)
        }


def item(name: str, **fields: Any) -> NewItem:
    return NewItem(id=name, fields=fields)


def test_the_first_of_a_subject_has_the_id_that_a_rule_would_give_it() -> None:
    (made,) = added("p", "d", [item("e1", q="why?")], {}, "key k", 5)
    assert made == DatasetItem(
        project="p", dataset="d", item_id=dataset_item_id("p", "d", "example:e1"), subject_kind="example", subject_id="e1",
        added_by="key k", added_at=5, fields=b'{"q":"why?"}',
    )  # fmt: skip


def test_what_is_there_already_is_not_written_again() -> None:
    kept = Kept()
    kept.write(added("p", "d", [item("e1", q="why?", n=1)], {}, "key k", 5))
    assert added("p", "d", [item("e1", n=1, q="why?")], kept.known(), "key k", 6) == []


CHANGES = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.sampled_from("abc"), st.integers(0, 2)),
        st.tuples(st.just("remove"), st.sampled_from("abc"), st.just(0)),
    ),
    max_size=12,
)


@given(CHANGES)
def test_every_version_stays_readable_whatever_happens_later(changes: list[tuple[str, str, int]]) -> None:
    kept, now, versions = Kept(), dict[str, bytes](), dict[int, dict[str, bytes]]()
    for at, (what, name, value) in enumerate(changes, 1):
        if what == "add":
            kept.write(added("p", "d", [item(name, v=value)], kept.known(), "key k", at))
            now = {**now, name: b'{"v":%d}' % value}
        else:
            kept.write(removed("p", "d", kept.known().get(name, []), at))
            now = {own: fields for own, fields in now.items() if own != name}
        versions[at] = now
    assert {at: kept.at(at) for at in versions} == versions


def test_a_schema_names_what_does_not_fit_and_knows_judgevals_traces() -> None:
    schema = {"type": "object", "properties": {"trace": {"type": "trace"}, "n": {"type": "integer"}}}
    assert list(misfits(schema, [item("a", trace="0af7", n=1), item("b", n="x")])) == [
        'item \'b\': fields.n: "x" is not of type "integer"'
    ]
