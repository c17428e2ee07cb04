"""The documentation site: its pages in one folder, and the reference that the code itself gives."""
