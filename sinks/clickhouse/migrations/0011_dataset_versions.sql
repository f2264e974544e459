-- A version of a dataset is a time: items are added and removed and never changed, so what it held then can still be read.
ALTER TABLE {database}.dataset_items {cluster} ADD COLUMN IF NOT EXISTS removed_at DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1));
ALTER TABLE {database}.dataset_items {cluster} ADD COLUMN IF NOT EXISTS position Int64 CODEC(ZSTD(1));
