"""What the master does: experiments, trials, searches, checkpoints, accounts. Knows no HTTP."""
