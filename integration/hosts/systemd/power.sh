#!/bin/sh
# A host's power supply: gives it network hardware, boots it, and does so again after each reboot; ends when it is switched off.
#   sh power.sh DIRECTORY NAMESPACE SWITCH LOWER
# DIRECTORY has hardware.batch, port.batch and seat.batch for `ip`, and gets what the host writes; LOWER is the file
# system below, layers split by colons. A boot begins with a new network namespace, as the kernel's network state does
# not outlive one on a real host.
set -eu
directory=$1 namespace=$2 switch=$3 lower=$4
rebooted=133  # systemd-nspawn's exit code for it, with --keep-unit

wire() {
  ip -n "$namespace" link del eth0 2>/dev/null || true  # at once: its other end's name is needed again
  ip netns del "$namespace" 2>/dev/null || true
  ip -batch "$directory/hardware.batch"
  ip -n "$switch" -batch "$directory/port.batch"
  ip -n "$namespace" -batch "$directory/seat.batch"
}

mkdir -p "$directory/up" "$directory/work" "$directory/root" "$directory/docker" /run/systemd/nspawn
code=$rebooted
while [ "$code" = "$rebooted" ]; do
  wire
  code=0
  # From inside: /sys shows the links of the namespace that it was mounted from.
  nsenter --net="/run/netns/$namespace" unshare --mount --propagation slave sh "${0%/*}/boot.sh" "$directory" "$namespace" "$lower" || code=$?
done
exit "$code"
