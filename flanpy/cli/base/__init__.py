"""The parts that every command uses: this host, its daemon, etcd, and the printing of results."""
