"""The ingress: predictions, routed by their Host header."""
