"""Derived identities: the same thing gets the same id in the live job, a retry, a replay and an audit."""

from hashlib import blake2b

import orjson


def hashed(*fields: str) -> str:
    """Returns H(fields): blake2b-128 over length-prefixed fields in lower-case hex. The project always comes first."""
    texts = [field.encode("utf-8", "surrogatepass") for field in fields]
    return blake2b(b"".join(map(_with_length, texts)), digest_size=16).hexdigest()


def _with_length(data: bytes) -> bytes:
    return len(data).to_bytes(8, "big") + data


def record_key(*parts: object) -> bytes:
    """Returns the Kafka key of a tenant's record: the UTF-8 text of a JSON array that begins with the project.

    >>> record_key("default", "a rule", ["agent-1"])
    b'["default","a rule",["agent-1"]]'
    """
    return orjson.dumps(parts)


def span_subject_id(trace_id: str, span_id: str) -> str:
    """Returns the id of a span as a subject; span ids alone are unique only within their trace."""
    return f"{trace_id}:{span_id}"


def score_id(project: str, kind: str, subject_id: str, scorer: str, version: str, run_id: str = "") -> str:
    """Returns the id of one scorer version's verdict on one subject. `run_id` is empty for online scores."""
    return hashed(project, kind, subject_id, f"{scorer}@{version}", run_id)


def example_id(project: str, idempotency_key: str, index: int) -> str:
    """Returns the id of the `index`-th example of a request that was sent with an `Idempotency-Key`."""
    return hashed(project, idempotency_key, str(index))


def dataset_item_id(project: str, dataset: str, subject_id: str) -> str:
    """Returns the id of a subject in a dataset."""
    return hashed(project, dataset, subject_id)


_INT32 = 0xFFFFFFFF


def murmur2(data: bytes) -> int:
    """Returns Kafka's murmur2 hash of a key (org.apache.kafka.common.utils.Utils.murmur2)."""
    length, m = len(data), 0x5BD1E995
    h = (0x9747B28C ^ length) & _INT32
    for i in range(0, length - length % 4, 4):
        k = int.from_bytes(data[i : i + 4], "little") * m & _INT32
        h = ((h * m) ^ ((k ^ (k >> 24)) * m)) & _INT32
    tail = data[length - length % 4 :]
    if tail:
        h = ((h ^ int.from_bytes(tail, "little")) * m) & _INT32
    h = ((h ^ (h >> 13)) * m) & _INT32
    return h ^ (h >> 15)


def partition_of(key: bytes, partitions: int) -> int:
    """Returns the partition that Kafka's default partitioner (murmur2) gives a key."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions
