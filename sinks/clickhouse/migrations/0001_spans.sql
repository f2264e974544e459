-- The rules of every table:
-- * A record may be inserted any number of times, in any order. ORDER BY and PARTITION BY use only what is the same in
--   every copy of a row: project, ids, the client's start time. `version` comes from the data: the highest stays.
-- * The client's clock may say anything. The writer keeps times within 1970 and 2099, and partitions are the months of
--   five years, again and again (202611 and 203111 are both 111): never more than 60, so never more than 60 parts an
--   insert. Retention goes by the ingest time; a part leaves when its youngest row is too old.
CREATE TABLE IF NOT EXISTS {database}.spans {cluster} (
  project LowCardinality(String),
  trace_id String CODEC(ZSTD(1)),
  span_id String CODEC(ZSTD(1)),
  parent_span_id String CODEC(ZSTD(1)),
  run_id String CODEC(ZSTD(1)),
  origin LowCardinality(String),
  agent LowCardinality(String),
  agent_instance LowCardinality(String),
  agent_id String CODEC(ZSTD(1)),
  parent_agent_id String CODEC(ZSTD(1)),
  agent_entry Bool,
  agent_version LowCardinality(String),
  start_time DateTime64(6, 'UTC') CODEC(Delta(8), ZSTD(1)),
  duration_us Int64 CODEC(ZSTD(1)),
  kind LowCardinality(String),
  name LowCardinality(String),
  operation LowCardinality(String),
  tool_name LowCardinality(String),
  service LowCardinality(String),
  environment LowCardinality(String),
  session_id String CODEC(ZSTD(1)),
  customer_id String CODEC(ZSTD(1)),
  model LowCardinality(String),
  provider LowCardinality(String),
  input_tokens Nullable(Int64) CODEC(ZSTD(1)),
  output_tokens Nullable(Int64) CODEC(ZSTD(1)),
  cached_input_tokens Nullable(Int64) CODEC(ZSTD(1)),
  cache_write_input_tokens Nullable(Int64) CODEC(ZSTD(1)),
  reasoning_output_tokens Nullable(Int64) CODEC(ZSTD(1)),
  cost_usd Nullable(Float64) CODEC(ZSTD(1)),
  status LowCardinality(String),
  status_message String CODEC(ZSTD(1)),
  input String CODEC(ZSTD(3)),
  output String CODEC(ZSTD(3)),
  attrs Map(LowCardinality(String), String) CODEC(ZSTD(1)),
  resource Map(LowCardinality(String), String) CODEC(ZSTD(1)),
  tags Array(LowCardinality(String)) CODEC(ZSTD(1)),
  events String CODEC(ZSTD(3)),
  dialect LowCardinality(String),
  cut Array(LowCardinality(String)) CODEC(ZSTD(1)),
  partial Bool,
  revision Int64 CODEC(ZSTD(1)),
  ingested_at DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)),
  version UInt64 CODEC(ZSTD(1)),
  INDEX by_trace trace_id TYPE bloom_filter(0.001) GRANULARITY 1,
  INDEX by_session session_id TYPE bloom_filter(0.01) GRANULARITY 1
) ENGINE = {R}ReplacingMergeTree(version)
PARTITION BY toYYYYMM(start_time) % 500
ORDER BY (project, toStartOfHour(start_time), trace_id, span_id, run_id)
TTL toDateTime(ingested_at) + toIntervalDay({retention_days})
SETTINGS ttl_only_drop_parts = 1, index_granularity_bytes = 67108864;
