#!/bin/bash

# Parameters
#SBATCH --array=0-7%8
#SBATCH --cpus-per-task=4
#SBATCH --error=/LOGS/%A_%a_0_log.err
#SBATCH --job-name=train
#SBATCH --mem=8192M
#SBATCH --nodes=1
#SBATCH --open-mode=append
#SBATCH --output=/LOGS/%A_%a_0_log.out
#SBATCH --signal=USR2@90
#SBATCH --time=240

# command
export SUBMITIT_EXECUTOR=slurm
srun --unbuffered --output /LOGS/%A_%a_%t_log.out --error /LOGS/%A_%a_%t_log.err python -m parcache.backends.slurm.task /SPOOL 0 /LOGS
