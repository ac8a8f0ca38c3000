"""What explaining costs beside predicting: `python -m benchmarks`."""
