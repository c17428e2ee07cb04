"""The embedded Determined master: the REST surface of release 0.38.1, trials as local processes.

The official client, command line and in-task harness run against it unmodified. Layers, each knowing only those
before it:

* ``store``, ``metrics``, ``logs``: what must survive a restart, in SQLite;
* ``expconf``, ``masking``, ``search``: experiment configurations, their secrets, hyperparameter searches, pure;
* ``launch``, ``processes``, ``scheduler``, ``experiments``: trials as process trees on this machine's slots;
* ``views``, ``api``: the REST replies.
"""

#: The release whose client and harness are served.
VERSION = "0.38.1"
