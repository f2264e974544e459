import pytest

from streams.local.java import OLDEST, find_java, major_version


@pytest.mark.parametrize(
    ("report", "version"),
    [
        ('openjdk version "25.0.2" 2026-01-20', 25),
        ('openjdk version "17.0.15" 2025-04-15\nOpenJDK Runtime Environment', 17),
        ('java version "1.8.0_402"', 8),
        ('openjdk version "21" 2023-09-19', 21),
        ("bash: java: not found", 0),
    ],
)
def test_the_major_version_is_read_from_what_java_says(report, version):
    assert major_version(report) == version


def test_there_is_a_java_that_kafka_can_run_on():
    assert find_java().version >= OLDEST
