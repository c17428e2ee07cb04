"""The embedded services against recorded answers of the real servers."""
