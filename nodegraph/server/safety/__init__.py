"""What stands between clients and this machine: who may ask, how much, for which files, and what no answer ever tells."""
