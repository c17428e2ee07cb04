"""The test of the images: built, pushed, pulled, and run by the embedded Pachyderm as its pipelines' containers."""
