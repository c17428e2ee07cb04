"""What the lab and the embedded stack both need: the form of an error, and where the lab's files lie."""
