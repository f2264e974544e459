-- Where a span's cost comes from: span, the instrumentation sent it; priced, from model and tokens; empty, there is none.
ALTER TABLE {database}.spans {cluster} ADD COLUMN IF NOT EXISTS cost_source LowCardinality(String) AFTER cost_usd;
