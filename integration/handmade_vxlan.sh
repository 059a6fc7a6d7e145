#!/bin/sh
# A stand-in for flanneld: takes its flags, makes the VXLAN by hand, writes subnet.env, stays in the foreground.
# It knows the lab's addresses (host n is 10.99.1.n and gets 10.50.n.0/24) and asks no etcd; it shows that the lab runs
# any program with flannel's flags, and is what the lab's own tests run on.
set -eu
iface=eth0
subnet_file=/run/flannel/subnet.env
for flag in "$@"; do
  case $flag in
    --iface=*) iface=${flag#*=} ;;
    --subnet-file=*) subnet_file=${flag#*=} ;;
  esac
done
address=$(ip -4 -o address show dev "$iface" | awk '{sub("/.*", "", $4); print $4; exit}')
own=${address##*.}
mac() { printf '0a:00:00:00:00:%02x' "$1"; }

echo "handmade vxlan on $iface ($address) for 10.50.$own.0/24"
ip link delete flannel.1 2>/dev/null || true
ip link add flannel.1 address "$(mac "$own")" mtu 1450 type vxlan id 1 dev "$iface" local "$address" dstport 8472 nolearning
ip address add "10.50.$own.0/32" dev flannel.1
ip link set flannel.1 up
for peer in 1 2 3 4 5 6; do
  [ "$peer" = "$own" ] && continue
  ip neighbour replace "10.50.$peer.0" lladdr "$(mac "$peer")" dev flannel.1 nud permanent
  bridge fdb replace "$(mac "$peer")" dev flannel.1 dst "10.99.1.$peer" self permanent
  ip route replace "10.50.$peer.0/24" via "10.50.$peer.0" dev flannel.1 onlink
done
printf 'FLANNEL_NETWORK=10.50.0.0/16\nFLANNEL_SUBNET=10.50.%s.1/24\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=false\n' "$own" > "$subnet_file.new"
mv "$subnet_file.new" "$subnet_file"
exec sleep infinity
