#!/bin/sh
# Run a command in a guest whose kernel has WireGuard and ipip, and end with its status. Needs neither root nor /dev/kvm.
#   sh run.sh COMMAND...
# The guest sees this machine's files, read-only, and no network of it; it is built if it is not cached (see build.sh).
set -eu
here=$(cd "$(dirname "$0")" && pwd)
tree=$(cd "$here/../.." && pwd)
kernel=$(sh "$here/build.sh")
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
printf '%s\n' "cd '$tree' || exit 1" "$(for word; do printf "'%s' " "$(printf %s "$word" | sed "s/'/'\\\\''/g")"; done)" > "$out/run"
echo lost > "$out/status"
"$kernel" "mem=${FLANPY_GUEST_MEMORY:-2G}" "ncpus=$(nproc)" seccomp=on root=/dev/root rootfstype=hostfs rootflags=/ ro \
  "init=$here/init.sh" con=null con0=fd:0,fd:1 quiet loglevel=1 "RUN=$out/run" "OUT=$out" < /dev/null
status=$(cat "$out/status")
[ "$status" != lost ] || { echo "guest: it ended without a status" >&2; exit 70; }
exit "$status"
