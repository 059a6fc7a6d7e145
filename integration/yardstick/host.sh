#!/bin/sh
# A stand-in for flanneld with the udp backend: `host.sh PROXY` with flannel's flags after it. It knows the lab's
# addresses (host n is 10.99.1.n and gets 10.50.n.0/24), makes the TUN device, writes subnet.env and becomes the proxy.
set -eu
proxy=$1
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

ip link delete flannel0 2>/dev/null || true
ip tuntap add flannel0 mode tun
ip link set flannel0 mtu 1472 up
ip address add "10.50.$own.0/32" dev flannel0
ip route add 10.50.0.0/16 dev flannel0
routes=
for peer in 1 2 3 4 5 6; do
  [ "$peer" = "$own" ] || routes="$routes 10.50.$peer.0/24=10.99.1.$peer"
done
printf 'FLANNEL_NETWORK=10.50.0.0/16\nFLANNEL_SUBNET=10.50.%s.1/24\nFLANNEL_MTU=1472\nFLANNEL_IPMASQ=false\n' "$own" > "$subnet_file.new"
mv "$subnet_file.new" "$subnet_file"
# shellcheck disable=SC2086
exec "$proxy" flannel0 "$address" 8285 $routes
