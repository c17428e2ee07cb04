"""The console: one read-only page in the browser for all three platforms.

``web`` holds the pages, ``live`` polls for all open pages, ``access`` decides who gets in, and ``server`` serves them
on the loopback address.
"""
