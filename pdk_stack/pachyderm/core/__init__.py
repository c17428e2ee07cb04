"""What the daemon does: versioned data (``pfs``), pipelines and jobs (``pps``). Knows no protocol."""
