"""What the lab and the embedded stack both need: the form of an error, the settings' keys, where the lab's files lie."""
