"""Two files of KServe 0.13.1 (Apache License 2.0): the storage initializer, and the model of a v2 request.

The package ``kserve`` 0.13.1 refuses Python 3.12, and later releases need protobuf 4, which Pachyderm's client refuses.
These two files need neither, so the stack runs them on every version of Python. A test compares them with the package.

Source: https://github.com/kserve/kserve/tree/v0.13.1/python/kserve/kserve
"""

#: The release that the files come from, and the one that the stack follows.
RELEASE = "0.13.1"
