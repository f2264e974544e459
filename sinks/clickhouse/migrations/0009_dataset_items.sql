-- The members of datasets, kept until somebody removes them: no retention. Of one item the last word stays, which may be
-- that it was removed.
CREATE TABLE IF NOT EXISTS {database}.dataset_items {cluster} (
  project LowCardinality(String),
  dataset LowCardinality(String),
  item_id String CODEC(ZSTD(1)),
  subject_kind LowCardinality(String),
  subject_id String CODEC(ZSTD(1)),
  trace_id String CODEC(ZSTD(1)),
  added_by String CODEC(ZSTD(1)),
  added_at DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)),
  fields String CODEC(ZSTD(3)),
  removed Bool,
  version UInt64 CODEC(ZSTD(1)),
  INDEX by_trace trace_id TYPE bloom_filter(0.001) GRANULARITY 1
) ENGINE = {R}ReplacingMergeTree(version)
ORDER BY (project, dataset, item_id);
