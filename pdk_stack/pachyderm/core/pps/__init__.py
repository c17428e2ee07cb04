"""Processing: pipelines, jobs, datums, the processes that run people's code, logs and secrets."""
