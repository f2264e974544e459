-- Why people were told late, or at another destination: kept_quiet, instead_of; looks counts decisions other than attempts.
ALTER TABLE {database}.deliveries {cluster} ADD COLUMN IF NOT EXISTS looks Int64 AFTER attempts;
ALTER TABLE {database}.deliveries {cluster} ADD COLUMN IF NOT EXISTS kept_quiet String AFTER reason;
ALTER TABLE {database}.deliveries {cluster} ADD COLUMN IF NOT EXISTS instead_of String AFTER kept_quiet;
