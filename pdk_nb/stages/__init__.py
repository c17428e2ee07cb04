"""What the pipeline images run: ``train``, ``deploy``, and ``classify``, and the file that train hands to deploy.

All have the same parts: typed options (``train_options`` and so on), one view of the worker's environment (``worker``),
one process around them (``process``), and ``run(options, worker)``.
"""
