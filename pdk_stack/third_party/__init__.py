"""Files of other projects, unchanged, where their package can't be installed beside the platforms' clients."""
