-- A score's id covers its run and its scorer's version; `ts` and `ingested_at` differ when a worker or a sender repeats
-- itself, so neither is in the key.
CREATE TABLE IF NOT EXISTS {database}.scores {cluster} (
  project LowCardinality(String),
  score_id String CODEC(ZSTD(1)),
  scorer LowCardinality(String),
  scorer_version LowCardinality(String),
  subject_kind LowCardinality(String),
  subject_id String CODEC(ZSTD(1)),
  trace_id String CODEC(ZSTD(1)),
  span_id String CODEC(ZSTD(1)),
  span_name LowCardinality(String),
  span_kind LowCardinality(String),
  session_id String CODEC(ZSTD(1)),
  customer_id String CODEC(ZSTD(1)),
  agent LowCardinality(String),
  agent_version LowCardinality(String),
  environment LowCardinality(String),
  tags Array(LowCardinality(String)) CODEC(ZSTD(1)),
  attributes Map(LowCardinality(String), String) CODEC(ZSTD(1)),
  value Nullable(Float64) CODEC(ZSTD(1)),
  threshold Nullable(Float64) CODEC(ZSTD(1)),
  measured Nullable(Float64) CODEC(ZSTD(1)),
  label LowCardinality(String),
  outcome LowCardinality(String),
  reason String CODEC(ZSTD(3)),
  latency_ms Float64 CODEC(ZSTD(1)),
  cost_usd Nullable(Float64) CODEC(ZSTD(1)),
  attempt Int64 CODEC(ZSTD(1)),
  tries Int64 CODEC(ZSTD(1)),
  sampling_rate Float64 CODEC(ZSTD(1)),
  origin LowCardinality(String),
  run_id String CODEC(ZSTD(1)),
  ts DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)),
  ingested_at DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)),
  version UInt64 CODEC(ZSTD(1)),
  INDEX by_trace trace_id TYPE bloom_filter(0.001) GRANULARITY 1,
  INDEX by_session session_id TYPE bloom_filter(0.01) GRANULARITY 1,
  INDEX by_subject subject_id TYPE bloom_filter(0.01) GRANULARITY 1,
  INDEX by_time ingested_at TYPE minmax GRANULARITY 1
) ENGINE = {R}ReplacingMergeTree(version)
ORDER BY (project, scorer, score_id)
TTL toDateTime(ingested_at) + toIntervalDay({retention_days})
SETTINGS merge_with_ttl_timeout = 86400;
