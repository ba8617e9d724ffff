"""Programs that measure the figures in the README; run as `python -m benchmarks.NAME`."""
