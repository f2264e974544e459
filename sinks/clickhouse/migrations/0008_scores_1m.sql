-- Online scores by minute of their subject's ingest time, from one row a score (FINAL), never summed at insert. `n` counts
-- verdicts, skipped ones apart; `n_estimated` is what `n` would be if every subject had been sampled.
CREATE OR REPLACE VIEW {database}.scores_1m {cluster} SQL SECURITY INVOKER AS
SELECT
  project,
  scorer,
  agent,
  toStartOfMinute(s.ingested_at) AS minute,
  countIf(outcome != 'skipped') AS n,
  countIf(outcome = 'pass') AS n_pass,
  countIf(outcome = 'fail') AS n_fail,
  countIf(outcome = 'error') AS n_error,
  countIf(outcome = 'scored') AS n_scored,
  countIf(outcome = 'skipped') AS n_skipped,
  sumIf(1 / greatest(sampling_rate, 1e-6), outcome != 'skipped') AS n_estimated,
  avg(s.value) AS avg_value,
  min(s.value) AS min_value,
  max(s.value) AS max_value,
  quantiles(0.1, 0.5, 0.9)(s.value) AS value_quantiles,
  avgIf(s.latency_ms, outcome != 'skipped') AS avg_latency_ms,
  sum(s.cost_usd) AS cost_usd
FROM {database}.scores AS s FINAL
WHERE origin = 'online'
GROUP BY project, scorer, agent, minute;
