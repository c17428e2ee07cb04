"""Entry point of the batch pipeline, in the deploy image; the code is in ``pdk_nb.stages.classify``."""

import sys

from pdk_nb.stages.classify import main

if __name__ == "__main__":
    sys.exit(main())
