#!/bin/sh
# One boot of a host, in a mount namespace of its own that goes with it: systemd as process 1, in its own cgroups.
#   sh boot.sh DIRECTORY NAMESPACE LOWER
set -eu
directory=$1 namespace=$2 lower=$3

# Ours first, or nspawn uses /payload and /supervisor at the top, which two hosts would share.
for top in /sys/fs/cgroup /sys/fs/cgroup/*; do
  [ -w "$top/cgroup.procs" ] && [ ! -L "$top" ] || continue
  case $top in */cpuset | "/sys/fs/cgroup/$namespace" | */fp*) continue ;; esac  # a new cpuset has no processor to run on
  [ ! -d "$top/$namespace" ] || find "$top/$namespace" -depth -mindepth 1 -type d -exec rmdir {} + 2>/dev/null || true
  mkdir -p "$top/$namespace"
  echo $$ > "$top/$namespace/cgroup.procs"
done

mount -t tmpfs tmpfs /run/systemd/nspawn  # what nspawn leaves there
mount -t overlay overlay -o "lowerdir=$lower,upperdir=$directory/up,workdir=$directory/work" "$directory/root"

cat > "$directory/root/lab-init" <<'INIT'
#!/bin/sh
# The limits of units and containers are set through these, which nspawn mounts read-only.
for controller in cpu cpuacct cpuset memory devices freezer blkio pids; do
  ! mountpoint -q /sys/fs/cgroup/$controller || mount -o remount,bind,rw /sys/fs/cgroup/$controller
done
exec /lib/systemd/systemd
INIT
chmod 755 "$directory/root/lab-init"

# seccomp off: runc's keyring; all capabilities: else a unit cannot have CAP_NET_ADMIN; VFS: else /proc/sys is read-only.
# Docker's images go beside the overlay, on which no second one can stand; from 29 on they are containerd's.
mkdir -p "$directory/containerd"
export SYSTEMD_NSPAWN_API_VFS_WRITABLE=yes SYSTEMD_SECCOMP=0
exec systemd-nspawn --quiet --directory="$directory/root" --register=no --keep-unit --machine="$namespace" \
  --hostname="${namespace##*-}" --network-namespace-path="/run/netns/$namespace" --kill-signal=SIGRTMIN+3 --capability=all \
  --resolv-conf=off --timezone=off --bind="$directory/docker:/var/lib/docker" \
  --bind="$directory/containerd:/var/lib/containerd" /lab-init
