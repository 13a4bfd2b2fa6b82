"""Jobs on a Slurm cluster, submitted through submitit: see ``backend`` for the whole, ``spool`` for the files."""
