"""Diagnosis: `flanpyctl doctor` and `diag`."""
