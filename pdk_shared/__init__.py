"""What the lab and the embedded stack both need: errors, the settings' keys, and where the lab's files lie."""
