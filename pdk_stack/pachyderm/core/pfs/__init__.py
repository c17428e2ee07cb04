"""Versioned data: projects, repos, branches with provenance, commits with global IDs, and file trees."""
