"""Links of ours and what stands on each: settings, addresses, the state up."""

from __future__ import annotations

from dataclasses import dataclass

from flanpy.model.address import Family, IPAddress, IPInterface, Mac
from flanpy.model.key import Key
from flanpy.model.put_order import LINK_ALIAS, PutOrder
from flanpy.model.traits import LinkTraits, OnLink, Traits


@dataclass(frozen=True, slots=True)
class VxlanLink(LinkTraits):
    """A VXLAN device (RFC 7348; ip-link(8) type vxlan).

    `parent` is the *name* of the underlay link, `local` always an address of this host.
    `mac` is given at creation, so `addr_assign_type` is 3 (set) and udev leaves it alone.
    """

    name: str
    vni: int
    port: int
    parent: str
    local: IPAddress
    mac: Mac
    mtu: int
    learning: bool = False
    gbp: bool = False
    alias: str = LINK_ALIAS

    in_place = ("mac", "mtu", "alias", "local", "parent", "learning")
    """By drivers/net/vxlan, vxlan_changelink."""


@dataclass(frozen=True, slots=True)
class TunLink(LinkTraits):
    """A persistent TUN device (kernel networking/tuntap.rst): it outlives the process that has its queues open.

    flannel's own is not persistent and goes with flanneld. `multi_queue` cannot be changed later.
    """

    name: str
    mtu: int
    multi_queue: bool = True
    alias: str = LINK_ALIAS

    in_place = ("mtu", "alias")
    """By drivers/net/tun.c, tun_set_iff: whether there are several queues is settled at creation."""


@dataclass(frozen=True, slots=True)
class OtherLink(Traits):
    """A link of a kind that we never make, seen under a name that we want."""

    name: str
    kind: str
    alias: str = ""

    phase = PutOrder.LINK
    deletable = False

    @property
    def key(self) -> Key:
        return ("link", self.name)


@dataclass(frozen=True, slots=True)
class LinkFeature(OnLink):
    """An offload feature of a link, as `ethtool -k` names it (`tx-checksum-ip-generic`)."""

    link: str
    feature: str
    enabled: bool

    phase = PutOrder.LINK_SETTING
    deletable = False
    is_spare = True

    @property
    def key(self) -> Key:
        return ("feature", self.link, self.feature)


@dataclass(frozen=True, slots=True)
class LinkSysctl(OnLink):
    """A per-link sysctl: `net.<family>.conf.<link>.<name>`, kernel ip-sysctl.rst."""

    family: Family
    link: str
    name: str
    value: str

    phase = PutOrder.LINK_SETTING
    deletable = False

    @property
    def key(self) -> Key:
        return ("linksysctl", self.link, int(self.family), self.name)


@dataclass(frozen=True, slots=True)
class BridgePort(OnLink):
    """The membership of a link of ours in a bridge, by the bridge's name."""

    link: str
    bridge: str

    phase = PutOrder.LINK_SETTING

    @property
    def key(self) -> Key:
        return ("port", self.link)


@dataclass(frozen=True, slots=True)
class Address(OnLink):
    """An address on a link of ours."""

    link: str
    interface: IPInterface

    phase = PutOrder.ADDRESS

    @property
    def key(self) -> Key:
        return (
            "address",
            self.link,
            int(self.interface.ip),
            self.interface.network.prefixlen,
            self.interface.version,
        )


@dataclass(frozen=True, slots=True)
class LinkUp(OnLink):
    """The state of a link that is administratively up (IFF_UP)."""

    link: str

    phase = PutOrder.LINK_UP
    deletable = False

    @property
    def key(self) -> Key:
        return ("up", self.link)
