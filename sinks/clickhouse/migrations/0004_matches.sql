-- `partition`, `offset` and `position` tell where the match stands on vedette.rule-events; of a subject that was
-- matched again the first stays, the one that the counter counted.
CREATE TABLE IF NOT EXISTS {database}.matches {cluster} (
  project LowCardinality(String),
  rule LowCardinality(String),
  rule_version LowCardinality(String),
  group_key String CODEC(ZSTD(1)),
  subject_kind LowCardinality(String),
  subject_id String CODEC(ZSTD(1)),
  trace_id String CODEC(ZSTD(1)),
  span_id String CODEC(ZSTD(1)),
  value Nullable(Float64) CODEC(ZSTD(1)),
  reason String CODEC(ZSTD(3)),
  ingested_at DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)),
  partition Int32 CODEC(ZSTD(1)),
  offset Int64 CODEC(Delta(8), ZSTD(1)),
  position Int32 CODEC(ZSTD(1)),
  version UInt64 CODEC(ZSTD(1)),
  INDEX by_trace trace_id TYPE bloom_filter(0.001) GRANULARITY 1,
  INDEX by_subject subject_id TYPE bloom_filter(0.01) GRANULARITY 1,
  INDEX by_time ingested_at TYPE minmax GRANULARITY 1
) ENGINE = {R}ReplacingMergeTree(version)
ORDER BY (project, rule, group_key, rule_version, subject_kind, subject_id)
TTL toDateTime(ingested_at) + toIntervalDay({retention_days})
SETTINGS merge_with_ttl_timeout = 86400;
