"""Entry point of the train image; the code is in ``pdk_nb.stages.train``."""

import sys

from pdk_nb.stages.train import main

if __name__ == "__main__":
    sys.exit(main())
