"""flanpy: a multi-host overlay network for Docker on plain hosts, compatible with flannel."""

__version__ = "0.1.0"
