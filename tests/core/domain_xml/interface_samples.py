"""Interfaces that together have each element and attribute of the table, each as libvirt's schema allows it."""

UUID = "5a1c2a7e-5b7d-4c7e-9a51-0c0f5e6d1aff"
MAC = "fa:16:3e:11:22:33"
TAP = "<target dev='tap-old' managed='no'/>"


def nic(kind: str, inner: str = "", attributes: str = "") -> str:
    """An interface with this MAC, unless it brings one."""
    mac = "" if "<mac " in inner else f"<mac address='{MAC}'/>"
    return f"<interface type='{kind}'{attributes}>{mac}{inner}</interface>"


def _taps(*inner: str) -> tuple[str, ...]:
    return tuple(nic("ethernet", TAP + each) for each in inner)


def _directs(*inner: str) -> tuple[str, ...]:
    return tuple(nic("direct", "<source dev='eth9' mode='vepa'/>" + each) for each in inner)


_PCI = "<address type='pci' domain='0x0000' bus='0x00' slot='0x07' function='0x1' multifunction='on'/>"

SAMPLES = (
    nic("bridge", "<source bridge='br7' macTableManager='libvirt'/>", " trustGuestRxFilters='no'"),
    nic(
        "network",
        f"<source network='corp' portgroup='slow' portid='{UUID}' bridge='virbr0'/><vlan><tag id='42'/></vlan>",
    ),
    nic(
        "network",
        "<source network='corp'/>"
        f"<virtualport type='openvswitch'><parameters interfaceid='{UUID}' profileid='gold'/></virtualport>",
    ),
    nic(
        "network",
        "<source network='corp'/><bandwidth classID='3'><inbound average='7' peak='9' burst='5' floor='2'/>"
        "<outbound average='6' peak='8' burst='4' floor='1'/></bandwidth>",
    ),
    nic("direct", "<source dev='eth9' mode='vepa'/>", " trustGuestRxFilters='yes'"),
    nic("ethernet", f"<mac address='{MAC}' type='static' check='no'/>{TAP}"),
    *_taps(
        "<source><ip address='192.0.2.1' family='ipv4' prefix='24' peer='192.0.2.2'/></source>",
        "<source><route family='ipv4' address='192.0.2.0' prefix='24' gateway='192.0.2.9' metric='2'/></source>",
        "<source><route address='192.0.2.0' netmask='255.255.255.0' gateway='192.0.2.9'/></source>",
        "<vlan trunk='yes'><tag id='7'/></vlan>",
        "<vlan><tag id='7'/><tag id='8' nativeMode='untagged'/></vlan>",
        "<vlan><tag id='7' nativeMode='tagged'/></vlan>",
        "<port isolated='yes'/>",
        "<port isolated='no'/>",
        "<ip address='192.0.2.1' family='ipv4' prefix='24' peer='192.0.2.2'/>",
        "<route family='ipv4' address='192.0.2.0' prefix='24' gateway='192.0.2.9' metric='2'/>",
        "<route address='192.0.2.0' netmask='255.255.255.0' gateway='192.0.2.9'/>",
        "<portForward proto='tcp' address='192.0.2.1' dev='eth0'><range start='1' end='2' to='3' exclude='no'/>"
        "</portForward>",
        "<script path='/etc/up'/><downscript path='/etc/down'/>",
        "<backenddomain name='driver'/>",
        "<guest dev='eth0' actual='veth0'/>",
        "<model type='e1000e'/>",
        *(f"<driver name='{name}'/>" for name in ("vfio", "kvm", "xen")),
        "<driver name='vhost' queues='2' rx_queue_size='256' tx_queue_size='256' txmode='iothread' ioeventfd='on'"
        " event_idx='off' iommu='on' ats='on' packed='on' page_per_vq='on' rss='on' rss_hash_report='on'>"
        "<host csum='off' gso='off' tso4='off' tso6='off' ecn='off' ufo='off' mrg_rxbuf='off'/>"
        "<guest csum='off' tso4='off' tso6='off' ecn='off' ufo='off'/></driver><model type='virtio'/>",
        "<backend type='passt'/>",
        "<backend logFile='/var/log/passt'/>",
        "<backend tap='/dev/net/tun' vhost='/dev/vhost-net'/>",
        "<filterref filter='clean-traffic'><parameter name='IP' value='192.0.2.1'/></filterref>",
        "<tune><sndbuf>1600</sndbuf></tune>",
        "<link state='down'/>",
        "<mtu size='1450'/>",
        "<teaming type='persistent'/><alias name='ua-standby'/><model type='virtio'/>",
        "<teaming type='transient' persistent='ua-standby'/>",
        "<coalesce><rx><frames max='7'/></rx></coalesce>",
        "<boot order='2' loadparm='PROMPT'/>",
        "<rom enabled='yes' bar='off' file='/etc/fake.rom'/>",
        "<acpi index='4'/>",
        _PCI,
        "<address type='drive' controller='0' bus='0' target='0' unit='0'/>",
        "<address type='usb' bus='0' port='1'/>",
        "<address type='spapr-vio' reg='0x1000'/>",
        "<address type='ccw' cssid='0xfe' ssid='0x0' devno='0x0001'/>",
        "<address type='isa' iobase='0x300' irq='0x5'/>",
        "<address type='dimm' slot='0' base='0x100000000'/>",
        "<address type='pci' domain='0x0000' bus='0x00' slot='0x07' function='0x0'>"
        "<zpci uid='0x0001' fid='0x00000001'/></address>",
    ),
    *_directs(
        f"<virtualport type='802.1Qbg'><parameters managerid='1' typeid='2' typeidversion='3' instanceid='{UUID}'/>"
        "</virtualport>",
        "<virtualport type='802.1Qbh'><parameters profileid='gold'/></virtualport>",
        f"<virtualport type='midonet'><parameters interfaceid='{UUID}'/></virtualport>",
        "<virtualport><parameters managerid='1'/></virtualport>",
        "<virtualport><parameters typeid='2'/></virtualport>",
        "<virtualport><parameters typeidversion='3'/></virtualport>",
        f"<virtualport><parameters instanceid='{UUID}'/></virtualport>",
    ),
    nic("user", "<source dev='eth0'/><backend type='passt'/>"),
    nic(
        "vhostuser",
        "<source type='unix' path='/run/x' mode='client'><reconnect enabled='yes' timeout='5'/></source>",
    ),
    nic("internal", "<source name='lan'/>"),
    *(nic(kind, "<source address='192.0.2.1' port='5558'/>") for kind in ("client", "server", "mcast")),
    nic("udp", "<source address='192.0.2.1' port='5558'><local address='192.0.2.1' port='5559'/></source>"),
    nic("null"),
    nic("vds", f"<source switchid='{UUID}' portid='1' portgroupid='g' connectionid='2'/>"),
    nic("vdpa", "<source dev='/dev/vhost-vdpa-0'/>"),
    nic("hostdev", f"<source missing='yes'>{_PCI}</source>", " managed='yes'"),
    nic("hostdev", "<source><address type='usb' bus='1' device='2'/></source>", " managed='no'"),
    nic(
        "hostdev",
        "<source><vendor id='0x0001'/><product id='0x0002'/><address bus='1' device='2'/></source>",
    ),
)
