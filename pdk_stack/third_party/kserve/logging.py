"""The logger that KServe's files write to."""

import logging

logger = logging.getLogger("kserve")
