"""From a checkpoint to a model archive that TorchServe loads."""
