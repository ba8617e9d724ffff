# make demo   the main job on the bundled sample, into out/
# make test   the default tests
# make test-rest  all other tests
# make check  lint, format, types and the default tests
# make lock   requirements*.txt from pyproject.toml; with UPGRADE=--upgrade the newest of what
#             the packages themselves need

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL = $(BIN)/python -m pip install --disable-pip-version-check --require-hashes
LOCK = $(BIN)/uv pip compile pyproject.toml --quiet --universal --generate-hashes \
	--no-emit-index-url --annotation-style line --custom-compile-command "make lock" $(UPGRADE)
# All locks have what the tests run with.
AS_TESTED = $(LOCK) --constraints requirements-dev.txt
# As many processes as processors; the tests of one file share what they load. A process that
# crashes fails the run: started again, it would wait for ever (xdist 3.8).
PARALLEL = $(BIN)/python -m pytest -n logical --maxprocesses 4 --dist loadfile \
	--max-worker-restart 0
# OpenCV's wheel takes a few libraries from the system, which bare machines lack.
HAS_LIBRARIES = $(BIN)/python -c "import cv2" 2>/dev/null || { \
	echo "OpenCV lacks system libraries; on Debian: apt-get install libgl1 libglib2.0-0" >&2; exit 1; }

.PHONY: demo test test-rest test-all check lock clean

demo: $(VENV)/live
	@mkdir -p out
	@$(BIN)/python stream.py --src sample --no-window --output out/sample.mp4 \
		--events out/sample.jsonl --people out/sample.csv --remember 10m
	@echo "annotated film: out/sample.mp4    people: out/sample.csv"

test: $(VENV)/dev
	$(PARALLEL) -m "not slow and not rtsp and not window and not browser and not mqtt"

test-rest: $(VENV)/dev
	$(PARALLEL) -m "slow and not rtsp and not window and not browser and not mqtt"
	$(BIN)/python -m pytest -m "rtsp or window or browser or mqtt"

test-all: $(VENV)/dev
	$(BIN)/python -m pytest

check: $(VENV)/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy .
	$(MAKE) test

lock: $(VENV)/dev
	$(LOCK) --extra dev --output-file requirements-dev.txt
	$(AS_TESTED) --output-file requirements-live.txt
	$(AS_TESTED) --extra train --output-file requirements.txt

clean:
	rm -rf $(VENV) out .pytest_cache .mypy_cache .ruff_cache

$(BIN)/python:
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

# The markers record that an environment matches its requirement files.
$(VENV)/live: requirements-live.txt | $(BIN)/python
	@echo "installing what the program needs; some minutes, once"
	@$(INSTALL) -r requirements-live.txt
	@$(HAS_LIBRARIES)
	@touch $@

$(VENV)/dev: requirements-dev.txt | $(BIN)/python
	$(INSTALL) -r requirements-dev.txt
	@$(HAS_LIBRARIES)
	@touch $@ $(VENV)/live
