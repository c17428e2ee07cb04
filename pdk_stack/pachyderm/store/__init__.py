"""Persistent storage, independent of protocols: the database, the blobs, and the directory nodes."""
