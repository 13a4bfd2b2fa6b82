# Both commands set up everything they need below .venv. Without make: python3 tools/dev.py demo (or test).
PYTHON ?= python3

.PHONY: demo test lint clean
demo:
	@$(PYTHON) tools/dev.py demo $(foreach flag,$(DEVFLAGS),'$(flag)')
test:
	@$(PYTHON) tools/dev.py test $(foreach flag,$(DEVFLAGS),'$(flag)') $(TESTFLAGS)
lint:
	@$(PYTHON) tools/dev.py lint $(foreach flag,$(DEVFLAGS),'$(flag)')
clean:
	rm -rf .venv .ci/envs
