"""What the figures in the README are measured with; run as `python -m benchmarks.NAME`."""
