#!/usr/bin/env bash

#PBS -N dask-worker
#PBS -l select=1:ncpus=8:mem=15GB
#PBS -l walltime=04:00:00

PYTHON -m distributed.cli.dask_worker tcp://HOST:8786 --name train --nthreads 8 --memory-limit 14.90GiB --nanny --death-timeout 60
