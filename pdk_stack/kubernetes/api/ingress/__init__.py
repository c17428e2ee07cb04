"""The ingress, which routes predictions by their Host header."""
