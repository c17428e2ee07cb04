"""The controller: brings revisions, traffic and what clients read to what each InferenceService says."""
