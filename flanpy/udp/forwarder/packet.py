"""The offsets of header fields: virtio's before each packet of the TUN device, IPv4, TCP.

struct virtio_net_hdr of linux/virtio_net.h (native byte order): flags, gso_type, hdr_len, gso_size, csum_start,
csum_offset.
"""

from __future__ import annotations

import struct

VNET = struct.Struct("=BBHHHH")
VNET_PLAIN = bytes(VNET.size)
NEEDS_CSUM = 1
GSO_NONE, GSO_TCPV4, GSO_UDP_L4, GSO_ECN = 0, 1, 5, 0x80

IPV4 = struct.Struct(">BBHHHBBHII")
"""Version and IHL, TOS, total length, identification, flags and fragment offset, TTL, protocol, checksum, addresses."""

LEAST = IPV4.size
TTL, PROTOCOL, IP_SUM = 8, 9, 10
TTL_AND_SUM = struct.Struct(">BxH")
DONT_FRAGMENT, MORE_FRAGMENTS, OFFSET = 0x4000, 0x2000, 0x1FFF
PROTO_ICMP, PROTO_TCP, PROTO_UDP = 1, 6, 17
WORD = struct.Struct(">H")

FIN, SYN, RST, PSH, ACK, URG, CWR = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x80

LONGEST = 65535
"""An IPv4 packet's total length has 16 bits."""
