#!/bin/sh
# Run a command on the file system of a host that is off; in namespaces of its own, which take the mounts along.
#   sh offline.sh DIRECTORY LOWER COMMAND...
set -eu
directory=$1 lower=$2
shift 2
mkdir -p "$directory/up" "$directory/work" "$directory/root"
mount -t overlay overlay -o "lowerdir=$lower,upperdir=$directory/up,workdir=$directory/work" "$directory/root"
mount -t proc proc "$directory/root/proc"
mount -t tmpfs tmpfs "$directory/root/run"
mount --bind /dev "$directory/root/dev"
exec chroot "$directory/root" "$@"
