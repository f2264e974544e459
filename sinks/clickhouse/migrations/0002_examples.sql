-- An example that its sender sends again has another ingest time and no other time: nothing to partition by. So old
-- rows leave one by one, at most once a day.
CREATE TABLE IF NOT EXISTS {database}.examples {cluster} (
  project LowCardinality(String),
  example_id String CODEC(ZSTD(1)),
  run_id String CODEC(ZSTD(1)),
  origin LowCardinality(String),
  fields String CODEC(ZSTD(3)),
  scorers String CODEC(ZSTD(1)),
  verdicts String CODEC(ZSTD(1)),
  sampling_rate Float64 CODEC(ZSTD(1)),
  trace_id String CODEC(ZSTD(1)),
  span_id String CODEC(ZSTD(1)),
  session_id String CODEC(ZSTD(1)),
  customer_id String CODEC(ZSTD(1)),
  agent LowCardinality(String),
  agent_version LowCardinality(String),
  environment LowCardinality(String),
  tags Array(LowCardinality(String)) CODEC(ZSTD(1)),
  ingested_at DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)),
  version UInt64 CODEC(ZSTD(1)),
  INDEX by_trace trace_id TYPE bloom_filter(0.001) GRANULARITY 1,
  INDEX by_session session_id TYPE bloom_filter(0.01) GRANULARITY 1,
  INDEX by_time ingested_at TYPE minmax GRANULARITY 1
) ENGINE = {R}ReplacingMergeTree(version)
ORDER BY (project, example_id, run_id)
TTL toDateTime(ingested_at) + toIntervalDay({retention_days})
SETTINGS merge_with_ttl_timeout = 86400;
