"""gRPC: translations between protocol messages and the parts that do the work."""
