"""Print the dependencies of a stage's image: those of the named extras.

    python requirements.py pyproject.toml core deploy

The list is separate from the package, so the images' large layer changes only when a dependency does. A new version of
the code is then a push of a few megabytes.
"""

import sys
from pathlib import Path

import tomllib

if __name__ == "__main__":
    extras = tomllib.loads(Path(sys.argv[1]).read_text())["project"]["optional-dependencies"]
    print("\n".join(dict.fromkeys(each for name in sys.argv[2:] for each in extras[name])))
