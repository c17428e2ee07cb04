"""Code that all services of the embedded stack share."""
