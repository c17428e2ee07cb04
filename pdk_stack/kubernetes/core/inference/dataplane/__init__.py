"""The data plane: carries a prediction from the ingress to a model server and back."""
