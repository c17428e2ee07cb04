"""The way of a prediction from the ingress to a model server and back."""
