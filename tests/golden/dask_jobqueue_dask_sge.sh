#!/usr/bin/env bash

#$ -N dask-worker
#$ -l h_rt=04:00:00
#$ -cwd
#$ -j y

PYTHON -m distributed.cli.dask_worker tcp://HOST:8786 --name train --nthreads 8 --memory-limit 14.90GiB --nanny --death-timeout 60
