#!/bin/bash

# Parameters
#SBATCH --account=lab
#SBATCH --array=0-7%8
#SBATCH --cpus-per-task=1
#SBATCH --error=/LOGS/%A_%a_0_log.err
#SBATCH --job-name=train
#SBATCH --mem=2048M
#SBATCH --nodes=1
#SBATCH --open-mode=append
#SBATCH --output=/LOGS/%A_%a_0_log.out
#SBATCH --partition=main
#SBATCH --signal=USR2@90
#SBATCH --time=240

# setup
export OMP_PLACES=cores

# command
export SUBMITIT_EXECUTOR=slurm
srun --unbuffered --output /LOGS/%A_%a_%t_log.out --error /LOGS/%A_%a_%t_log.err python -m parcache.backends.slurm.task /SPOOL 0 /LOGS
