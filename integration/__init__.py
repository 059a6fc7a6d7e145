"""The namespace lab and what is run on it: whole hosts on one machine, for tests, benchmarks and the demo."""
