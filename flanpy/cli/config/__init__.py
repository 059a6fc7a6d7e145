"""Configuration: `flanpyctl network`, `config`, `reload`, `version` and `completion`."""
