"""The REST surface: thin routes over the master's parts."""
