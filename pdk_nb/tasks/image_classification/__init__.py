"""The task ``image-classification``: a picture in, one of several classes out."""
