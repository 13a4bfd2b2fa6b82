#!/usr/bin/env bash

#SBATCH -J dask-worker
#SBATCH -n 1
#SBATCH --cpus-per-task=8
#SBATCH --mem=15G
#SBATCH -t 04:00:00

PYTHON -m distributed.cli.dask_worker tcp://HOST:8786 --name train --nthreads 8 --memory-limit 14.90GiB --nanny --death-timeout 60
