"""An example: a folder of ``examples/`` with the contract ``example.yaml``.

The contract names the task, the data, the names on the cluster, the code, and the gate; ``docs/examples.md`` describes
its fields. The rest of the lab knows an example only through this package and through its task (``pdk_nb.tasks``).
"""

from pdk_nb.example.reading import CONTRACT, DEFAULT, DEFAULT_TASK, Example, Gate, examples_folder, find, known

__all__ = ["CONTRACT", "DEFAULT", "DEFAULT_TASK", "Example", "Gate", "examples_folder", "find", "known"]
