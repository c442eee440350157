"""The table: every element and attribute of libvirt's `<interface>`, what becomes of it when it moves, and why.

What libvirt takes on which type of interface was tried on libvirt 9.0. A setting that only tunes the host's device is
dropped where it can't be had. One that protects (a filter, isolation) or that says another network is refused. What
the table does not name is unknown, and refused as well.

The elements stand in the order in which libvirt prints them (virDomainNetDefFormat).
"""

from .interface_rules import Fate, Rule, Target

_TRUNK = "vlan/@trunk vlan/tag[2] vlan/tag[2]/@id,nativeMode vlan/tag/@nativeMode"
_NOT_IN_A_LINUX_BRIDGE = frozenset(Target) - {Target.LINUX_BRIDGE}
_NOT_MADE_BY_LIBVIRT = frozenset(Target) - {Target.OPENVSWITCH_BY_LIBVIRT}
_ONLY_MACVTAP = frozenset({Target.MACVTAP})
_PASSED_THROUGH = "a device of the host that is passed through can't move"
_DETACH = "detach it first"

TABLE: tuple[Rule, ...] = (
    Rule(
        "@type",
        Fate.TRANSLATED,
        "follows from the port's binding",
        values=("bridge", "ethernet", "network", "direct"),
    ),
    Rule(
        "@type",
        Fate.REFUSED,
        _PASSED_THROUGH,
        "is a network device of the host (<interface type='{type}'>)",
        _DETACH,
        values=("hostdev", "vdpa"),
        adopted=False,
    ),
    Rule("@managed", Fate.REFUSED, _PASSED_THROUGH, "has managed='{managed}'", _DETACH, adopted=False),
    Rule(
        "@type",
        Fate.REFUSED,
        "its addresses and forwarded ports are those of QEMU or passt on its host, and no port can carry them",
        "is a user-mode NIC (<interface type='user'>)",
        "detach it, or define it anew on a network",
        values=("user",),
        adopted=False,
    ),
    Rule(
        "@type",
        Fate.REFUSED,
        "what it is connected to is no network that Kedge knows",
        "is a NIC of another kind (<interface type='{type}'>)",
        "detach it, or define it anew on a network",
        values=("vhostuser", "internal", "mcast", "client", "server", "udp", "null", "vds"),
        adopted=False,
    ),
    Rule(
        "@trustGuestRxFilters",
        Fate.TRANSLATED,
        "so that the guest may change its MAC and multicast groups after the move if it could before",
    ),
    Rule("mac mac/@address,type,check", Fate.KEPT, "the guest sees the MAC; the others are of VMware's"),
    Rule(
        "source source/@bridge,network,portgroup,portid,dev,mode,macTableManager",
        Fate.TRANSLATED,
        "follows from the port's binding; what a libvirt network or portgroup gave stands in the interface by then",
    ),
    Rule(
        "source/ip source/ip/@address,family,prefix,peer"
        " source/route source/route/@family,address,netmask,prefix,gateway,metric",
        Fate.REFUSED,
        "the host routes to the guest then, and a port is in a network",
        "has addresses or routes of the host's end (<source> with <ip> or <route>)",
        "define it anew on a network",
        adopted=False,
    ),
    Rule(
        "source/@name,address,port,type,path,missing,switchid,portgroupid,connectionid"
        " source/local source/local/@address,port source/reconnect source/reconnect/@enabled,timeout"
        " source/vendor source/vendor/@id source/product source/product/@id"
        " source/address source/address/@type,domain,bus,slot,function,multifunction,device",
        Fate.REFUSED,
        "belongs to a type of interface that is refused",
        "has a <source> of another kind",
        "define it anew on a network",
        adopted=False,
    ),
    Rule(
        _TRUNK,
        Fate.REFUSED,
        "a port is in one network",
        "is a VLAN trunk (<vlan> with {vlans})",
        "make it an access port, or a NIC for each VLAN",
        adopted=False,
    ),
    Rule("vlan vlan/tag vlan/tag/@id", Fate.TRANSLATED, "the VLAN follows from the port's network"),
    Rule(
        "virtualport/@type",
        Fate.TRANSLATED,
        "follows from the port's binding",
        values=("openvswitch",),
    ),
    Rule(
        "virtualport/@type",
        Fate.REFUSED,
        "only Open vSwitch is a switch that Kedge knows",
        "has a virtual port of type {type!r} (<virtualport>)",
        "define it anew on a network",
        values=("802.1Qbg", "802.1Qbh", "midonet"),
        adopted=False,
    ),
    Rule(
        "virtualport virtualport/parameters virtualport/parameters/@interfaceid",
        Fate.TRANSLATED,
        "follows from the port's binding",
    ),
    Rule(
        "virtualport/parameters/@profileid",
        Fate.DROPPED,
        "it is for a controller of the source's Open vSwitch",
        "the port profile {profileid!r} (<virtualport>)",
    ),
    Rule(
        "virtualport/parameters/@managerid,typeid,typeidversion,instanceid",
        Fate.REFUSED,
        "only Open vSwitch is a switch that Kedge knows",
        "has parameters of an 802.1Qbg switch (<virtualport>)",
        "define it anew on a network",
        adopted=False,
    ),
    Rule(
        "bandwidth/@classID bandwidth/inbound/@floor bandwidth/outbound/@floor",
        Fate.DROPPED,
        "only a libvirt network can hold it, and the port is in none",
        "its guaranteed bandwidth (<bandwidth> with floor)",
    ),
    Rule("bandwidth", Fate.KEPT, "libvirt limits the device, whatever it is"),
    Rule(
        "bandwidth/inbound bandwidth/outbound"
        " bandwidth/inbound/@average,peak,burst bandwidth/outbound/@average,peak,burst",
        Fate.TRANSLATED,
        "the same, but that the two change places between macvtap and the others (see `rewrite`)",
    ),
    Rule(
        "port/@isolated",
        Fate.REFUSED,
        "that is to be had only where libvirt itself plugs into a Linux bridge",
        "is isolated from the other ports of its bridge (<port isolated='yes'/>)",
        "remove it first",
        values=("yes",),
    ),
    Rule("port port/@isolated", Fate.KEPT, "says nothing"),
    Rule(
        "portForward portForward/@proto,address,dev"
        " portForward/range portForward/range/@start,end,to,exclude"
        " ip ip/@address,family,prefix,peer route route/@family,address,netmask,prefix,gateway,metric",
        Fate.REFUSED,
        "libvirt gives these to a user-mode NIC only",
        "has addresses or forwarded ports of its own (<ip>, <route> or <portForward>)",
        "remove them first",
        adopted=False,
    ),
    Rule(
        "script script/@path downscript downscript/@path",
        Fate.DROPPED,
        "it set up the source's device, and on the destination Kedge's agent or libvirt does that",
        "its script {path}",
    ),
    Rule("backenddomain backenddomain/@name", Fate.KEPT, "Xen's; QEMU makes no use of it"),
    Rule(
        "target target/@dev,managed", Fate.TRANSLATED, "follows from the port's id, or is libvirt's to choose"
    ),
    Rule("guest guest/@dev,actual", Fate.KEPT, "a container's; QEMU makes no use of it"),
    Rule("model model/@type", Fate.KEPT, "the guest sees it"),
    Rule(
        "driver/@name",
        Fate.REFUSED,
        _PASSED_THROUGH,
        "has the driver {name!r} of a device that is passed through (<driver>)",
        _DETACH,
        values=("vfio", "kvm", "xen"),
        adopted=False,
    ),
    Rule(
        "driver driver/@name,queues,rx_queue_size,tx_queue_size,txmode,ioeventfd,event_idx"
        " driver/@iommu,ats,packed,page_per_vq,rss,rss_hash_report"
        " driver/host driver/host/@csum,gso,tso4,tso6,ecn,ufo,mrg_rxbuf"
        " driver/guest driver/guest/@csum,tso4,tso6,ecn,ufo",
        Fate.KEPT,
        "the guest sees it, or it is of the emulated device",
    ),
    Rule(
        "backend/@type,logFile",
        Fate.REFUSED,
        "libvirt gives these to a user-mode NIC only",
        "has passt as its backend (<backend>)",
        "remove it first",
    ),
    Rule(
        "backend/@tap",
        Fate.DROPPED,
        "libvirt opens a macvtap by a path of its own",
        "the path of its tap device {tap} (<backend>)",
        on=_ONLY_MACVTAP,
    ),
    Rule("backend backend/@vhost", Fate.KEPT, "the path is of a device that each host has"),
    Rule(
        "filterref filterref/@filter filterref/parameter filterref/parameter/@name,value",
        Fate.REFUSED,
        "it works only on a tap in a Linux bridge and would be without effect on {target}",
        "has the network filter {filter!r}",
        "remove the <filterref>, or choose a host with Linux bridge or hybrid plug",
        on=_NOT_IN_A_LINUX_BRIDGE,
    ),
    Rule("tune tune/sndbuf", Fate.KEPT, "QEMU sets it on the device, whatever it is"),
    Rule("link link/@state", Fate.KEPT, "the guest sees it"),
    Rule("mtu mtu/@size", Fate.KEPT, "the guest sees it"),
    Rule(
        "teaming/@type",
        Fate.REFUSED,
        "it is unplugged before a migration",
        "is the transient one of a <teaming> pair",
        "detach it, and the server moves with its standby NIC {persistent!r}."
        " Attach one of the destination's afterwards",
        values=("transient",),
    ),
    Rule("teaming teaming/@type,persistent", Fate.KEPT, "the guest sees it"),
    Rule(
        "coalesce coalesce/rx coalesce/rx/frames coalesce/rx/frames/@max",
        Fate.DROPPED,
        "libvirt sets it only on a device that it plugs into a bridge itself",
        "how it gathers interrupts (<coalesce>)",
        on=_NOT_MADE_BY_LIBVIRT,
    ),
    Rule("alias alias/@name", Fate.KEPT, "what is said to QEMU goes by it, and Kedge knows a NIC by it"),
    Rule("boot boot/@order,loadparm", Fate.KEPT, "the guest sees it at the next boot"),
    Rule(
        "rom rom/@enabled,bar,file", Fate.KEPT, "the guest sees it, and its size is in the migration's stream"
    ),
    Rule("acpi acpi/@index", Fate.KEPT, "the guest sees it"),
    Rule(
        "address address/@type,domain,bus,slot,function,multifunction,controller,target,unit,port,reg"
        " address/@cssid,ssid,devno,iobase,irq,base address/zpci address/zpci/@uid,fid",
        Fate.KEPT,
        "the guest sees it",
    ),
)

#: The children of `<interface>`, in the order in which libvirt prints them.
ELEMENTS = tuple(
    dict.fromkeys(
        path.partition("/")[0] for rule in TABLE for path in rule.paths() if not path.startswith("@")
    )
)

#: The rules of each element and attribute, by its path.
BY_PATH: dict[str, list[Rule]] = {}
for _rule in TABLE:
    for _path in _rule.paths():
        BY_PATH.setdefault(_path, []).append(_rule)


def rule_of(path: str, value: str = "") -> Rule | None:
    """The rule for an element, or for an attribute that has this value; None if the table does not know it."""
    return next((rule for rule in BY_PATH.get(path, ()) if not rule.values or value in rule.values), None)
