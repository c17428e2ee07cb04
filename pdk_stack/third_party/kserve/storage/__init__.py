"""KServe's storage initializer; :class:`~.storage.Storage` downloads a model from where a service says it is."""
