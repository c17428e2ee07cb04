"""InferenceServices: storage, model servers, revisions, status, and the controller that connects them."""
