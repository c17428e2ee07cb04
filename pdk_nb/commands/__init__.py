"""The command line's commands, one module per subject.

Each module has ``register(commands, options)``, which adds its parsers and sets ``handler``, the function that runs the
command. Importing a module stays cheap: what a command needs is imported when it runs.
"""
