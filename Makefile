# Every command sets up what it needs below .venv or .venv-bench*. Without make: python3 tools/dev.py demo (or test, …).
PYTHON ?= python3

.PHONY: demo test lint fuzz fuzz-code bench bench-edits bench-slurm slurm-install slurm-up slurm-down slurm-env clean
demo:
	@$(PYTHON) tools/dev.py demo $(foreach flag,$(DEVFLAGS),'$(flag)')
test:
	@$(PYTHON) tools/dev.py test $(foreach flag,$(DEVFLAGS),'$(flag)') $(TESTFLAGS)
lint:
	@$(PYTHON) tools/dev.py lint $(foreach flag,$(DEVFLAGS),'$(flag)')
# Compares 20 000 jobs composed by parcache with the same composed by Hydra. Fewer: FUZZFLAGS='--examples 1000'
fuzz:
	@$(PYTHON) tools/dev.py fuzz $(foreach flag,$(DEVFLAGS),'$(flag)') $(FUZZFLAGS)
# Edits 5000 drawn projects and compares what the fingerprint says. Fewer: FUZZFLAGS='--examples 1000'
fuzz-code:
	@$(PYTHON) tools/dev.py fuzz-code $(foreach flag,$(DEVFLAGS),'$(flag)') $(FUZZFLAGS)
# Parcache beside its peers: speed, and what a job that kills its process costs. One part: BENCHFLAGS='--only torture'
bench:
	@$(PYTHON) tools/dev.py bench $(foreach flag,$(DEVFLAGS),'$(flag)') $(BENCHFLAGS)
# Which edits other caching tools notice: a quarter of an hour. One tool: BENCHFLAGS='--tools joblib'
bench-edits:
	@$(PYTHON) tools/dev.py bench-edits $(foreach flag,$(DEVFLAGS),'$(flag)') $(BENCHFLAGS)
# Sweeps on a real Slurm that it brings up (root, Slurm's packages), minutes. Without slurmdbd: BENCHFLAGS=--no-accounting
bench-slurm:
	@$(PYTHON) tools/dev.py bench-slurm $(foreach flag,$(DEVFLAGS),'$(flag)') $(BENCHFLAGS)
# A real Slurm on this machine, for root on Debian: make slurm-install slurm-up, then eval "$(make -s slurm-env)"
slurm-install slurm-up slurm-down slurm-env: slurm-%:
	@$(PYTHON) tools/dev.py slurm $* $(SLURMFLAGS)
clean:
	rm -rf .venv .venv-bench* .ci/envs
