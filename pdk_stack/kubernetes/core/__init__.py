"""The cluster's logic: admission, authorization, controllers, model servers. Independent of the HTTP API."""
