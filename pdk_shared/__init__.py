"""What the lab, the embedded stack, and model archives share: errors, paths, settings keys, decoding of pictures."""
