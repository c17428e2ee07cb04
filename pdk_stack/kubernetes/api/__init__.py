"""The Kubernetes API as a WSGI application: thin layers over the object store."""
