"""The daemon's logic, independent of protocols: versioned data (``pfs``), and pipelines and jobs (``pps``)."""
