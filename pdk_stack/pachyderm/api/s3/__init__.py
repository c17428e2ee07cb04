"""The S3 gateway: branches and commits as buckets."""
