"""What all services of the embedded stack share: each thing is written once."""
