"""Entry point of the deploy image; the code is in ``pdk_nb.stages.deploy``."""

import sys

from pdk_nb.stages.deploy import main

if __name__ == "__main__":
    sys.exit(main())
