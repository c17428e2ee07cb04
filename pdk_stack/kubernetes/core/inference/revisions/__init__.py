"""Revisions: immutable versions of a service, each with its model, replicas, and scaling."""
