-- Tags that a program gave a trace itself, beside those of its spans: they may come before the first span and after the last.
CREATE TABLE IF NOT EXISTS {database}.trace_tags {cluster} (
  project LowCardinality(String),
  trace_id String CODEC(ZSTD(1)),
  tag LowCardinality(String),
  ingested_at DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)),
  version UInt64 CODEC(ZSTD(1))
) ENGINE = {R}ReplacingMergeTree(version)
ORDER BY (project, trace_id, tag)
TTL toDateTime(ingested_at) + toIntervalDay({retention_days})
SETTINGS merge_with_ttl_timeout = 86400;
-- As before, with these among its tags.
CREATE OR REPLACE VIEW {database}.traces {cluster} SQL SECURITY INVOKER AS
SELECT
  root.project AS project,
  root.trace_id AS trace_id,
  root.start_time AS start_time,
  dateDiff('microsecond', root.start_time, whole.end_time) AS duration_us,
  whole.end_time AS end_time,
  root.name AS name,
  root.kind AS kind,
  if(root.agent != '', root.agent, whole.agent) AS agent,
  whole.agents AS agents,
  root.status AS status,
  root.status_message AS status_message,
  whole.spans AS spans,
  whole.errors AS errors,
  whole.llm_calls AS llm_calls,
  whole.tool_calls AS tool_calls,
  whole.models AS models,
  whole.input_tokens AS input_tokens,
  whole.output_tokens AS output_tokens,
  whole.cost_usd AS cost_usd,
  if(root.session_id != '', root.session_id, whole.session_id) AS session_id,
  if(root.customer_id != '', root.customer_id, whole.customer_id) AS customer_id,
  if(root.environment != '', root.environment, whole.environment) AS environment,
  root.service AS service,
  root.input AS input,
  root.output AS output,
  arraySort(arrayDistinct(arrayConcat(whole.tags, told.tags))) AS tags,
  root.span_id AS root_span_id,
  root.is_root AND whole.open = 0 AS finished,
  whole.ingested_at AS ingested_at
FROM (
  SELECT
    project,
    trace_id,
    argMin(span_id, (parent_span_id != '', s.start_time, span_id)) AS root_span_id,
    max(addMicroseconds(s.start_time, duration_us)) AS end_time,
    argMinIf(s.agent, (s.start_time, span_id), s.agent != '') AS agent,
    arraySort(groupUniqArrayIf(s.agent, s.agent != '')) AS agents,
    count() AS spans,
    countIf(status = 'error') AS errors,
    countIf(kind = 'llm') AS llm_calls,
    countIf(kind = 'tool') AS tool_calls,
    arraySort(groupUniqArrayIf(model, model != '')) AS models,
    sumIf(s.input_tokens, kind IN ('llm', 'retriever')) AS input_tokens,
    sumIf(s.output_tokens, kind IN ('llm', 'retriever')) AS output_tokens,
    sumIf(s.cost_usd, kind IN ('llm', 'retriever')) AS cost_usd,
    argMinIf(s.session_id, (s.start_time, span_id), s.session_id != '') AS session_id,
    argMinIf(s.customer_id, (s.start_time, span_id), s.customer_id != '') AS customer_id,
    argMinIf(s.environment, (s.start_time, span_id), s.environment != '') AS environment,
    arraySort(groupUniqArrayArray(s.tags)) AS tags,
    countIf(partial) AS open,
    max(s.ingested_at) AS ingested_at
  FROM {database}.spans AS s FINAL
  WHERE origin = 'online'
  GROUP BY project, trace_id
) AS whole
INNER JOIN (
  SELECT
    project, trace_id, span_id, start_time, name, kind, agent, status, status_message, session_id, customer_id, environment,
    service, parent_span_id = '' AS is_root, if(parent_span_id = '', r.input, '') AS input, if(parent_span_id = '', r.output, '') AS output
  FROM {database}.spans AS r FINAL
  WHERE origin = 'online'
) AS root ON root.project = whole.project AND root.trace_id = whole.trace_id AND root.span_id = whole.root_span_id
LEFT JOIN (
  SELECT project, trace_id, groupUniqArray(tag) AS tags FROM {database}.trace_tags FINAL GROUP BY project, trace_id
) AS told ON told.project = whole.project AND told.trace_id = whole.trace_id
SETTINGS do_not_merge_across_partitions_select_final = 1;
