"""What the cluster does with its objects: admission, rights, controllers, model servers. Knows no HTTP API."""
