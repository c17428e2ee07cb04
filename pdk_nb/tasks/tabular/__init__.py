"""The task ``tabular``: a row of numbers and categories in, one of two classes out."""
