"""The ways in: pachd's gRPC services and the S3 gateway. Thin shells over ``core``."""
