"""The master's logic: experiments, trials, searches, checkpoints, accounts. Independent of HTTP."""
