"""What every command uses: this host, its daemon, etcd, and how results are printed."""
