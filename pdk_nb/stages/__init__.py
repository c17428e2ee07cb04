"""What the two pipeline images run: ``train`` and ``deploy``, and the file that one hands to the other.

Both have the same parts: typed options (``train_options``, ``deploy_options``), one view of the worker's environment
(``worker``), one process around them (``process``), and ``run(options, worker)``.
"""
