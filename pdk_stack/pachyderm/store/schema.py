"""Tables of the embedded Pachyderm's database.

Times are nanoseconds since the epoch, 0 if the event hasn't happened. A commit's ``pk`` increases in order of creation.
File trees are immutable, content-addressed directory nodes, so commits share their common parts. Each commit
keeps its complete tree, so dropping a parent loses no data.
"""

from __future__ import annotations

from pdk_stack.common.database import Schema

# Added in version 2.
_FILESETS = """
CREATE TABLE filesets (
    id TEXT PRIMARY KEY, tree BLOB NOT NULL, created INTEGER NOT NULL, expires INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE fileset_changes (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    fileset TEXT NOT NULL REFERENCES filesets(id) ON DELETE CASCADE,
    change TEXT NOT NULL
);
CREATE INDEX fileset_changes_by_fileset ON fileset_changes(fileset, seq);
CREATE TRIGGER fileset_gone AFTER DELETE ON filesets BEGIN
    INSERT OR IGNORE INTO meta (key, value) VALUES ('garbage', 'yes');
END;
"""

# Added in version 3.
_EFFECTIVE_SPECS = "ALTER TABLE pipeline_versions ADD COLUMN effective_spec TEXT NOT NULL DEFAULT '';"

_TABLES = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

CREATE TABLE projects (
    name TEXT PRIMARY KEY, description TEXT NOT NULL DEFAULT '', created INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE repos (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    project TEXT NOT NULL REFERENCES projects(name),
    name TEXT NOT NULL, type TEXT NOT NULL,
    description TEXT NOT NULL DEFAULT '', created INTEGER NOT NULL,
    UNIQUE (project, name, type)
);

CREATE TABLE commits (
    pk INTEGER PRIMARY KEY AUTOINCREMENT,
    repo INTEGER NOT NULL REFERENCES repos(id) ON DELETE CASCADE,
    id TEXT NOT NULL,
    branch TEXT NOT NULL,
    origin INTEGER NOT NULL,
    description TEXT NOT NULL DEFAULT '',
    parent INTEGER REFERENCES commits(pk) ON DELETE SET NULL,
    started INTEGER NOT NULL,
    finishing INTEGER NOT NULL DEFAULT 0,
    finished INTEGER NOT NULL DEFAULT 0,
    error TEXT NOT NULL DEFAULT '',
    tree BLOB,
    size INTEGER NOT NULL DEFAULT 0,
    UNIQUE (repo, id)
);
CREATE INDEX commits_by_id ON commits(id);
-- Notes that there may be something to collect.
CREATE TRIGGER commit_gone AFTER DELETE ON commits BEGIN
    INSERT OR IGNORE INTO meta (key, value) VALUES ('garbage', 'yes');
END;
CREATE INDEX commits_by_parent ON commits(parent);

CREATE TABLE commit_provenance (
    commit_pk INTEGER NOT NULL REFERENCES commits(pk) ON DELETE CASCADE,
    upstream INTEGER NOT NULL REFERENCES commits(pk) ON DELETE CASCADE,
    PRIMARY KEY (commit_pk, upstream)
) WITHOUT ROWID;
CREATE INDEX commit_subvenance ON commit_provenance(upstream);

CREATE TABLE branches (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    repo INTEGER NOT NULL REFERENCES repos(id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    head INTEGER REFERENCES commits(pk) ON DELETE SET NULL,
    trigger TEXT NOT NULL DEFAULT '',
    created INTEGER NOT NULL,
    UNIQUE (repo, name)
);

CREATE TABLE branch_provenance (
    branch INTEGER NOT NULL REFERENCES branches(id) ON DELETE CASCADE,
    upstream INTEGER NOT NULL REFERENCES branches(id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    PRIMARY KEY (branch, upstream)
) WITHOUT ROWID;
CREATE INDEX branch_subvenance ON branch_provenance(upstream);

-- Changes of open commits, in order; applied to the parent's tree when the commit is finished.
CREATE TABLE staged (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    commit_pk INTEGER NOT NULL REFERENCES commits(pk) ON DELETE CASCADE,
    change TEXT NOT NULL
);
CREATE INDEX staged_by_commit ON staged(commit_pk, seq);

CREATE TABLE nodes (hash BLOB PRIMARY KEY, data BLOB NOT NULL) WITHOUT ROWID;

CREATE TABLE blobs (
    hash BLOB PRIMARY KEY, pack TEXT NOT NULL, start INTEGER NOT NULL, size INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX blobs_by_pack ON blobs(pack);

CREATE TABLE pipelines (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    project TEXT NOT NULL, name TEXT NOT NULL,
    version INTEGER NOT NULL,
    state INTEGER NOT NULL, reason TEXT NOT NULL DEFAULT '',
    stopped INTEGER NOT NULL DEFAULT 0,
    UNIQUE (project, name)
);

CREATE TABLE pipeline_versions (
    pipeline INTEGER NOT NULL REFERENCES pipelines(id) ON DELETE CASCADE,
    version INTEGER NOT NULL,
    spec_commit TEXT NOT NULL,
    details BLOB NOT NULL,
    user_spec TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (pipeline, version)
) WITHOUT ROWID;

CREATE TABLE jobs (
    pk INTEGER PRIMARY KEY AUTOINCREMENT,
    pipeline INTEGER NOT NULL REFERENCES pipelines(id) ON DELETE CASCADE,
    id TEXT NOT NULL,
    version INTEGER NOT NULL,
    output INTEGER REFERENCES commits(pk) ON DELETE SET NULL,
    state INTEGER NOT NULL, reason TEXT NOT NULL DEFAULT '',
    created INTEGER NOT NULL, started INTEGER NOT NULL DEFAULT 0, finished INTEGER NOT NULL DEFAULT 0,
    restart INTEGER NOT NULL DEFAULT 0,
    processed INTEGER NOT NULL DEFAULT 0, skipped INTEGER NOT NULL DEFAULT 0,
    failed INTEGER NOT NULL DEFAULT 0, recovered INTEGER NOT NULL DEFAULT 0,
    total INTEGER NOT NULL DEFAULT 0,
    stats TEXT NOT NULL DEFAULT '',
    UNIQUE (pipeline, id)
);
CREATE INDEX jobs_by_id ON jobs(id);
CREATE INDEX jobs_by_state ON jobs(state);

CREATE TABLE datums (
    job INTEGER NOT NULL REFERENCES jobs(pk) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    id TEXT NOT NULL,
    hash TEXT NOT NULL,
    state INTEGER NOT NULL,
    inputs TEXT NOT NULL,
    stats TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (job, position)
) WITHOUT ROWID;
CREATE INDEX datums_by_id ON datums(job, id);

CREATE TABLE secrets (
    name TEXT PRIMARY KEY, type TEXT NOT NULL, data TEXT NOT NULL,
    labels TEXT NOT NULL, created INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE transactions (id TEXT PRIMARY KEY, requests BLOB NOT NULL, started INTEGER NOT NULL)
    WITHOUT ROWID;
"""
SCHEMA = Schema(
    version=3, script=_TABLES + _FILESETS + _EFFECTIVE_SPECS, migrations={1: _FILESETS, 2: _EFFECTIVE_SPECS}
)
