"""Revisions: immutable versions of a service, each with its model, its replicas and their scaling."""
