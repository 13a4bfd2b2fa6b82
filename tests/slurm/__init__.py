"""A real Slurm on this machine, and the tests that need one. ``python3 tools/dev.py slurm up`` starts one by hand."""
