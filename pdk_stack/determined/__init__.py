"""The embedded Determined master: the REST surface of release 0.38.1, trials as local processes.

The official client, command line and in-task harness run against it unmodified. Layers, each knowing only those
before it: ``store`` (what must survive a restart), ``core`` (experiments, trials, checkpoints, searches), ``api`` (the
REST calls), ``service`` (all parts and the port, put together). See ``docs/stack/determined.md``.
"""

#: The release whose client and harness are served.
VERSION = "0.38.1"
