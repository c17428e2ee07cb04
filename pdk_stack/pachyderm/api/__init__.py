"""The protocols: pachd's gRPC services and the S3 gateway, as thin layers over ``core``."""
