"""Hosts of a lab and what runs on them; in `engines` hosts with a Docker of their own, in `systemd` hosts that boot."""
