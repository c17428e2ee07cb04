"""The embedded Kubernetes API with KServe's InferenceService: objects, API, controller, model servers, ingress."""
