"""The REST surface: thin functions over the master's parts. The ``route`` above each says which call it answers."""
