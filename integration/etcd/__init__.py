"""Real etcds of a lab: their members, plain or guarded by certificates and logins, and talking to them."""
