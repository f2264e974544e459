-- The newest state of every delivery; a state that ends a delivery stays whatever comes late.
CREATE TABLE IF NOT EXISTS {database}.deliveries {cluster} (
  project LowCardinality(String),
  alert_id String CODEC(ZSTD(1)),
  change Int64 CODEC(ZSTD(1)),
  destination LowCardinality(String),
  recipient String CODEC(ZSTD(1)),
  rule LowCardinality(String),
  group_key String CODEC(ZSTD(1)),
  state LowCardinality(String),
  attempts Int64 CODEC(ZSTD(1)),
  reason String CODEC(ZSTD(1)),
  reference String CODEC(ZSTD(1)),
  due_at DateTime64(3, 'UTC') CODEC(ZSTD(1)),
  planned_at DateTime64(3, 'UTC') CODEC(ZSTD(1)),
  changed_at DateTime64(3, 'UTC') CODEC(ZSTD(1)),
  version UInt64 CODEC(ZSTD(1))
) ENGINE = {R}ReplacingMergeTree(version)
ORDER BY (project, alert_id, change, destination, recipient)
TTL toDateTime(changed_at) + toIntervalDay({history_days})
SETTINGS merge_with_ttl_timeout = 86400;
