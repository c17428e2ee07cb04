"""The embedded Pachyderm: projects, repos, commits, pipelines, and jobs on one machine.

It speaks the protocol of Pachyderm 2.7 to 2.10 with the official clients. Its layers, from the bottom up:

* ``store``: tables, content-addressed blobs, and directory nodes; independent of commits and protocols.
* ``core``: ``pfs`` has repos, branches with provenance, commits with global IDs, and file trees; ``pps`` has pipelines,
  jobs, datums, and user processes; ``engine`` combines both.
* ``api``: ``grpc`` and ``s3``, thin translations between the protocols and the core.
* ``service``: the daemon that runs everything; ``coverage``: the list of implemented calls.

``docs/stack/pachyderm.md`` follows one call through all layers.
"""
