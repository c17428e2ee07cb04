"""Processing: pipelines, jobs, datums, the processes that run user code, logs, and secrets."""
