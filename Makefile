# Both commands set up everything they need below .venv; without make: python3 tools/dev.py demo (or test).
PYTHON ?= python3

.PHONY: demo test lint clean
demo:
	@$(PYTHON) tools/dev.py demo
test:
	@$(PYTHON) tools/dev.py test $(TESTFLAGS)
lint:
	@$(PYTHON) tools/dev.py lint
clean:
	rm -rf .venv* .ci/envs
