"""What survives: the database, the blobs and the directory nodes. Knows no protocol."""
