"""TLS as a client, with the same demands on every Python.

Python 3.13 began to refuse authorities without the key usage extension, which `openssl req -x509` leaves out and which
gRPC, by which the daemon reaches the same etcd, does not ask for (docs.python.org, ssl.create_default_context). Must
not: turn off that a certificate is checked.
"""

from __future__ import annotations

import ssl
from pathlib import Path


def client_context(ca_file: Path | str | None) -> ssl.SSLContext:
    """Return a context that checks servers against `ca_file`, the system's authorities if None. Raises OSError."""
    context = ssl.create_default_context(cafile=ca_file)
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context
