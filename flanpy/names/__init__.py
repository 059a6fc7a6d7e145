"""Names of containers: what this host tells of its own, what it knows of others, and the answers.

Owns the records in etcd (`records`, `publish`), the view of all hosts (`table`, `view`) and the resolver. Must not know
of Docker, whose containers come in as values, nor of the kernel.
"""
