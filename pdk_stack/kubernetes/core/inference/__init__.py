"""InferenceServices: storage, model servers, revisions, status and the controller that ties them."""
