-- Both are fed by vedette.alerts: `alerts` keeps the newest change of an alert, `alert_changes` all of them. Times that
-- are not set (`until`, `cooldown_until`) are 1970.
CREATE TABLE IF NOT EXISTS {database}.alerts {cluster} (
  project LowCardinality(String),
  alert_id String CODEC(ZSTD(1)),
  rule LowCardinality(String),
  rule_version LowCardinality(String),
  group_key String CODEC(ZSTD(1)),
  group_values Array(String) CODEC(ZSTD(1)),
  severity LowCardinality(String),
  state LowCardinality(String),
  kind LowCardinality(String),
  firing_id String CODEC(ZSTD(1)),
  fired_at DateTime64(3, 'UTC') CODEC(ZSTD(1)),
  changed_at DateTime64(3, 'UTC') CODEC(ZSTD(1)),
  cooldown_until DateTime64(3, 'UTC') CODEC(ZSTD(1)),
  change Int64 CODEC(ZSTD(1)),
  renotified Int64 CODEC(ZSTD(1)),
  subjects Int64 CODEC(ZSTD(1)),
  matched Int64 CODEC(ZSTD(1)),
  suppressed Int64 CODEC(ZSTD(1)),
  cause String CODEC(ZSTD(1)),
  by String CODEC(ZSTD(1)),
  until DateTime64(3, 'UTC') CODEC(ZSTD(1)),
  evidence String CODEC(ZSTD(3)),
  events_partition Int32 CODEC(ZSTD(1)),
  events_offset Int64 CODEC(ZSTD(1)),
  version UInt64 CODEC(ZSTD(1))
) ENGINE = {R}ReplacingMergeTree(version)
ORDER BY (project, alert_id)
TTL toDateTime(changed_at) + toIntervalDay({history_days})
SETTINGS merge_with_ttl_timeout = 86400;

CREATE TABLE IF NOT EXISTS {database}.alert_changes {cluster} (
  project LowCardinality(String),
  alert_id String CODEC(ZSTD(1)),
  rule LowCardinality(String),
  rule_version LowCardinality(String),
  group_key String CODEC(ZSTD(1)),
  group_values Array(String) CODEC(ZSTD(1)),
  severity LowCardinality(String),
  state LowCardinality(String),
  kind LowCardinality(String),
  firing_id String CODEC(ZSTD(1)),
  fired_at DateTime64(3, 'UTC') CODEC(ZSTD(1)),
  changed_at DateTime64(3, 'UTC') CODEC(ZSTD(1)),
  cooldown_until DateTime64(3, 'UTC') CODEC(ZSTD(1)),
  change Int64 CODEC(ZSTD(1)),
  renotified Int64 CODEC(ZSTD(1)),
  subjects Int64 CODEC(ZSTD(1)),
  matched Int64 CODEC(ZSTD(1)),
  suppressed Int64 CODEC(ZSTD(1)),
  cause String CODEC(ZSTD(1)),
  by String CODEC(ZSTD(1)),
  until DateTime64(3, 'UTC') CODEC(ZSTD(1)),
  evidence String CODEC(ZSTD(3)),
  events_partition Int32 CODEC(ZSTD(1)),
  events_offset Int64 CODEC(ZSTD(1)),
  version UInt64 CODEC(ZSTD(1))
) ENGINE = {R}ReplacingMergeTree(version)
ORDER BY (project, alert_id, change)
TTL toDateTime(changed_at) + toIntervalDay({history_days})
SETTINGS merge_with_ttl_timeout = 86400;
