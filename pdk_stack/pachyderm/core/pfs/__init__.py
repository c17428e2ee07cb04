"""Versioned data: projects, repos, branches with provenance, commits with global ids, file trees."""
