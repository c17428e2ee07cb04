"""The console: one page in the browser for all three platforms.

``pages`` read what is shown, ``changes`` lets people confirm ``actions``, and ``trays`` keep files until their commit.
``web`` joins them, ``live`` polls for open pages, ``access`` decides who gets in, and ``server`` serves them on the
loopback address.
"""
