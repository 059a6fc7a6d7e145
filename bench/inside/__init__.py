"""Programs that `python -m bench` runs inside a network namespace; each prints one line of JSON."""
