"""The controller: reconciles revisions, traffic, and status with each InferenceService."""
