"""The embedded Pachyderm: projects, repos, commits, pipelines and jobs on one machine.

It speaks the protocol of Pachyderm 2.7 to 2.10 to the official clients. The parts, ground to roof:

* ``store``: tables, content-addressed blobs, directory nodes; knows neither commits nor a protocol.
* ``core``: ``pfs`` has repos, branches with provenance, commits with global ids and file trees; ``pps`` has pipelines,
  jobs, datums and the processes of user code; ``engine`` puts both together.
* ``api``: ``grpc`` and ``s3``, thin translations between the protocols and the core.
* ``service``: the daemon that holds all of it; ``coverage``: which calls are done.

``docs/stack/pachyderm.md`` follows one call through all of them.
"""
