"""Files, locks and sysctls of this host."""
