#!/bin/sh
# Makes the mount namespace it runs in that of a host of its own, and becomes the host's first process (INIT).
#   sh furnish.sh DIRECTORY ENGINE INIT...
# Private are /etc, /usr and /var/lib (the machine's, copied on write), /run (empty), and Docker's images. ENGINE is '' or a
# directory with a usr of its own, laid over /usr. All mounts go with the namespace, so whoever kills this process and
# what runs beside it has cleaned up.
set -eu
directory=$1
engine=$2
shift 2

mkdir -p "$directory/cgroup" "$directory/layers" "$directory/docker"

# A fresh /sys shows this network namespace; the cgroups stay where the container runtime looks for them.
mount --rbind /sys/fs/cgroup "$directory/cgroup"
mount -t sysfs sysfs /sys
mount --rbind "$directory/cgroup" /sys/fs/cgroup
umount -l "$directory/cgroup"

mount -t tmpfs tmpfs "$directory/layers"
# An engine brings programs only; its /etc stays out.
for place in etc usr var/lib; do
  layer=$directory/layers/$place
  below=/$place
  [ "$place" != usr ] || [ -z "$engine" ] || below=$engine/usr:$below
  mkdir -p "$layer/upper" "$layer/work"
  mount -t overlay overlay -o "lowerdir=$below,upperdir=$layer/upper,workdir=$layer/work" "/$place"
done
mkdir -p /etc/docker /etc/default /var/lib/docker /var/lib/flanpy
rm -rf /etc/docker/daemon.json /etc/flanpy /etc/default/docker
od -An -N16 -tx1 /dev/urandom | tr -d ' \n' > /etc/machine-id
mount --bind "$directory/docker" /var/lib/docker
mount -t tmpfs tmpfs /run
mkdir -p /run/netns /run/lock

# overlay2 where the file system below can carry it; never what dockerd would try next (loop devices).
cd "$directory/docker"
mkdir probe probe/lower probe/upper probe/work probe/merged
storage=vfs
if mount -t overlay overlay -o lowerdir=probe/lower,upperdir=probe/upper,workdir=probe/work probe/merged 2>/dev/null
then umount probe/merged; storage=overlay2
fi
rm -rf probe
echo "$storage" > "$directory/storage-driver"
cd /
exec "$@"
