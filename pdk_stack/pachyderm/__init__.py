"""The embedded Pachyderm: projects, repos, commits, pipelines and jobs on one machine.

It speaks the protocol of Pachyderm 2.7 to 2.10 to the official clients. The parts, ground to roof:

* ``store``: SQLite and content-addressed blobs; directory nodes; knows no protocol.
* ``pfs``: repos, branches with provenance, commits with global ids, file trees.
* ``pps``: pipelines, jobs, datums, the worker processes, logs, secrets.
* ``wire``: gRPC; thin translations between protocol messages and the parts above.
* ``s3``: the S3 gateway.
"""
