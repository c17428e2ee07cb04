"""gRPC: translates between protocol messages and the core."""
