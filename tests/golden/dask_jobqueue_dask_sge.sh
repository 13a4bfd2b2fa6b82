#!/usr/bin/env bash

#$ -N dask-worker
#$ -l h_rt=04:00:00
#$ -cwd
#$ -j y

PYTHON -m distributed.cli.dask_worker tcp://HOST:8786 --name train --nthreads 1 --memory-limit 1.86GiB --nworkers 8 --nanny --death-timeout 60
