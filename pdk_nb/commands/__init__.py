"""The commands of the command line, one module for each subject.

Each module has ``register(commands, options)``, which adds its parsers and sets ``handler``, the function that runs the
command. Importing a module stays cheap: a command imports what it needs when it runs.
"""
