"""The images tried for real: built, pushed, pulled, and run by the embedded Pachyderm as its pipelines' containers."""
