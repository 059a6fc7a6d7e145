#!/bin/sh
# The guest's first process: mounts, loopback, then $RUN; its status goes to the file $STATUS, and the guest is switched off.
# The root is the machine's own tree, read-only, so that checkout, virtualenv and etcd are there; what is
# written to /run goes to memory.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/run/home TMPDIR=/run/tmp PYTHONDONTWRITEBYTECODE=1
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t tmpfs -o mode=755 tmpfs /run
[ -e /dev/null ] || mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/shm /dev/pts /dev/net "$HOME" "$TMPDIR" /run/netns /run/lock
mount -t tmpfs tmpfs /dev/shm
mount -t devpts devpts /dev/pts
mount -t cgroup2 cgroup2 /sys/fs/cgroup 2> /dev/null
mount -t bpf bpf /sys/fs/bpf 2> /dev/null
[ -e /dev/net/tun ] || mknod /dev/net/tun c 10 200
for name in fd:/proc/self/fd stdin:/proc/self/fd/0 stdout:/proc/self/fd/1 stderr:/proc/self/fd/2; do
  [ -e "/dev/${name%%:*}" ] || ln -s "${name#*:}" "/dev/${name%%:*}"
done
ip link set lo up
sh "$RUN"
status=$?
mkdir -p /run/out
mount -t hostfs -o "$OUT" none /run/out && echo "$status" > /run/out/status
sync
echo o > /proc/sysrq-trigger
sleep 10
