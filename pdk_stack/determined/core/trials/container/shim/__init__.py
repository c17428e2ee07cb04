"""First on the path of every Python of a trial."""
