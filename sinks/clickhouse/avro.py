"""What ClickHouse reads itself: Avro bodies go to it as they stand on the topic, and a SELECT makes rows of them. Pure.

Spans and scores are nearly all that is stored, and none of them becomes an object of Python on its way. The bodies travel in one object
container file (Avro 1.12, "Object Container Files"), each in a block of its own, so that a damaged body spoils no other.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from schemas.avro_writer import long
from schemas.record import AvroSchema, Record, avro_schema
from schemas.score import Score
from schemas.span import TraceChunk
from sinks.clickhouse.rows import END_S, HALF_RANK, LAST_OFFSET, OFFSET_BITS

OFFSET = "offset"
"""The place of a record in the log stands before its own fields."""

_MAGIC = b"Obj\x01"
_SYNC = bytes(range(0xF0, 0x100))
"""Stands behind every block."""
_TYPES = {"string": "String", "long": "Int64", "boolean": "Bool", "double": "Float64", "bytes": "String"}


@dataclass(frozen=True)
class Reading:
    """How the rows of a table come out of records of one class."""

    record: type[Record]
    columns: Mapping[str, str]
    """ClickHouse's expression for every column, out of the record's fields and `offset`."""
    each: str = ""
    """The array of the record that has one entry a row, and the name by which `columns` call an entry."""
    wanted: Callable[[bytes], bool] | None = None
    """Tells of a body whether any row comes out of it; None: of every one."""

    def statement(self, table: str) -> str:
        """Returns the INSERT that reads what `container` returns."""
        names, expressions = ", ".join(f"`{name}`" for name in self.columns), ", ".join(self.columns.values())
        each = f" ARRAY JOIN {self.each}" if self.each else ""
        used = set(re.findall(r"\w+", f"{expressions} {self.each}"))  # ClickHouse skips what is not named
        fields = [field for field in self._schema["fields"] if field["name"] in used]
        read = f"input('{_named_types(fields)}') AS record{each}"
        return f"INSERT INTO {table} ({names}) SELECT {expressions} FROM {read} FORMAT Avro"  # noqa: S608 - our own names

    def container(self, bodies: Iterable[tuple[int, bytes]]) -> bytes:
        """Returns an object container file of records, given as offset and Avro body of this release's schema."""
        parts = [self._head]
        for offset, body in bodies:
            place = long(offset)
            parts += (long(1), long(len(place) + len(body)), place, body, _SYNC)
        return b"".join(parts)

    @cached_property
    def _schema(self) -> AvroSchema:
        schema = avro_schema(self.record)
        return {**schema, "fields": [{"name": OFFSET, "type": "long"}, *schema["fields"]]}

    @cached_property
    def _head(self) -> bytes:
        name, schema = b"avro.schema", json.dumps(self._schema).encode()
        return _MAGIC + long(1) + long(len(name)) + name + long(len(schema)) + schema + long(0) + _SYNC


def clickhouse_type(schema: Any) -> str:
    """Returns the type that ClickHouse reads a field of `schemas.record.avro_schema` as."""
    if isinstance(schema, str):
        return _TYPES[schema]
    if isinstance(schema, list):
        return f"Nullable({clickhouse_type(schema[1])})"
    if schema["type"] == "array":
        return f"Array({clickhouse_type(schema['items'])})"
    if schema["type"] == "map":
        return f"Map(String, {clickhouse_type(schema['values'])})"
    return f"Tuple({_named_types(schema['fields'])})"


def _named_types(fields: Iterable[AvroSchema]) -> str:
    return ", ".join(f"{field['name']} {clickhouse_type(field['type'])}" for field in fields)


def _fields(owner: str, names: str) -> dict[str, str]:
    """The columns that are fields as they stand."""
    return {name: f"{owner}.{name}" for name in names.split()}


def _time(expression: str, unit: str, ticks: int) -> str:
    """A client's clock may say anything: it is kept within what ClickHouse can say, 1970 to 2099."""
    return f"fromUnixTimestamp64{unit}(least(greatest({expression}, 0), {END_S * ticks - 1}))"


def _milliseconds(expression: str) -> str:
    return _time(expression, "Milli", 1000)


def _first_stays(rank: str) -> str:
    """`rows.first_stays`, by ClickHouse."""
    high = f"least(greatest({rank}, 0), {2 * HALF_RANK - 1})"
    return f"bitOr(bitShiftLeft(toUInt64({high}), {OFFSET_BITS}), toUInt64({LAST_OFFSET} - {OFFSET}))"


SPANS = Reading(
    TraceChunk,
    {
        **_fields("record", "project trace_id run_id origin"),
        **_fields(
            "span",
            "span_id parent_span_id name kind duration_us status status_message agent agent_instance agent_id parent_agent_id "
            "agent_entry agent_version session_id customer_id environment service model provider operation tool_name input_tokens "
            "output_tokens cached_input_tokens cache_write_input_tokens reasoning_output_tokens cost_usd cost_source attrs tags "
            "events dialect partial revision cut",
        ),
        "start_time": _time("span.start_time", "Micro", 1_000_000),
        "input": "ifNull(span.input, '')",
        "output": "ifNull(span.output, '')",
        "resource": "if(span.resource < 0, map(), resources[span.resource + 1])",  # map() too when it points behind the last
        "ingested_at": _milliseconds("record.ingested_at"),
        # a finished span stays over its partial ones, then the highest revision
        "version": _first_stays(
            f"if(span.partial, 0, {HALF_RANK}) + least(greatest(span.revision, 0), {HALF_RANK - 1})"
        ),
    },
    "spans AS span",
)
SCORES = Reading(
    Score,
    {
        **_fields(
            "record",
            "project score_id scorer scorer_version subject_kind subject_id outcome trace_id span_id span_name span_kind session_id "
            "customer_id agent agent_version environment tags attributes value threshold measured label reason latency_ms cost_usd "
            "attempt tries sampling_rate origin run_id",
        ),
        "ts": _milliseconds("record.ts"),
        "ingested_at": _milliseconds("record.ingested_at"),
        "version": _first_stays("record.attempt"),  # the highest attempt, of one attempt the first verdict
    },
)


def tells_of_tags(body: bytes) -> bool:
    """Whether the body of a `TraceChunk` ends with a tag. `tags` is its last field: an empty array is one zero, after that of `spans`."""
    return body[-2:] != b"\x00\x00"


TRACE_TAGS = Reading(
    TraceChunk,
    {
        **_fields("record", "project trace_id"),
        "tag": "tag",
        "ingested_at": _milliseconds("record.ingested_at"),
        "version": _first_stays("0"),  # of a tag that was told again the first stays
    },
    "record.tags AS tag",
    tells_of_tags,
)
READINGS: Mapping[str, Reading] = {"spans": SPANS, "trace_tags": TRACE_TAGS, "scores": SCORES}
"""By table."""
