"""Interfaces as people and products write them, or as libvirt then prints them; each with a place for its MAC."""

_UUID = "3f1c2a7e-5b7d-4c7e-9a51-0c0f5e6d1a01"
_PCI = "<address type='pci' domain='0x0000' bus='0x00' slot='0x03' function='0x0'/>"
_MAC = "<mac address='{mac}'/>"

#: What moves to every target.
MOVES = {
    "virt-install, bridge": f"<interface type='bridge'>{_MAC}<source bridge='br0'/><model type='virtio'/></interface>",
    "virt-install, running": f"<interface type='bridge'>{_MAC}<source bridge='br0'/><target dev='vnet0'/>"
    f"<model type='virtio'/><alias name='net0'/>{_PCI}</interface>",
    "virt-manager, macvtap": f"<interface type='direct'>{_MAC}<source dev='enp1s0' mode='bridge'/>"
    f"<model type='e1000e'/>{_PCI}</interface>",
    "virsh attach-interface, trusted": f"<interface type='direct' trustGuestRxFilters='yes'>{_MAC}"
    "<source dev='bond0.7' mode='private'/><model type='virtio'/></interface>",
    "libvirt's default network": f"<interface type='network'>{_MAC}<source network='default'/><model type='virtio'/>"
    "</interface>",
    "vagrant-libvirt": f"<interface type='network'>{_MAC}<source network='vagrant-libvirt'/><target dev='vnet4'/>"
    "<model type='virtio'/><driver iommu='off'/><alias name='ua-net-0'/></interface>",
    "Open vSwitch by hand": f"<interface type='bridge'>{_MAC}<source bridge='ovsbr0'/><vlan><tag id='42'/></vlan>"
    f"<virtualport type='openvswitch'><parameters interfaceid='{_UUID}'/></virtualport><model type='virtio'/>"
    "</interface>",
    "Open vSwitch network with a portgroup": f"<interface type='network'>{_MAC}"
    "<source network='ovs-net' portgroup='vlan-42'/><virtualport type='openvswitch'/><model type='virtio'/>"
    "</interface>",
    "OpenStack, Open vSwitch": f"<interface type='bridge'>{_MAC}<source bridge='br-int'/>"
    f"<virtualport type='openvswitch'><parameters interfaceid='{_UUID}'/></virtualport>"
    "<target dev='tap3f1c2a7e-5b'/><model type='virtio'/>"
    f"<driver name='vhost' queues='4' rx_queue_size='512' tx_queue_size='512'/><alias name='net0'/>{_PCI}</interface>",
    "OpenStack, hybrid plug": f"<interface type='bridge'>{_MAC}<source bridge='qbr3f1c2a7e-5b'/>"
    f"<target dev='tap3f1c2a7e-5b'/><model type='virtio'/><alias name='net0'/>{_PCI}</interface>",
    "OpenStack, a limited flavor": f"<interface type='bridge'>{_MAC}<source bridge='brqa1b2c3d4-52'/><bandwidth>"
    "<inbound average='10240' peak='20480' burst='10240'/><outbound average='10240'/></bandwidth>"
    "<target dev='tap3f1c2a7e-5b'/><model type='virtio'/></interface>",
    "OpenStack, macvtap": f"<interface type='direct'>{_MAC}<source dev='eth1' mode='vepa'/><target dev='macvtap0'/>"
    "<model type='virtio'/></interface>",
    "OpenStack, a tap of another plugin": f"<interface type='ethernet'>{_MAC}<target dev='tap3f1c2a7e-5b'/>"
    "<model type='virtio'/><driver name='qemu'/></interface>",
    "Contrail": f"<interface type='ethernet'>{_MAC}<script path='/bin/true'/><target dev='tap3f1c2a7e-5b'/>"
    "<model type='virtio'/></interface>",
    "CloudStack": f"<interface type='bridge'>{_MAC}<source bridge='cloudbr0'/><bandwidth><inbound average='25600'"
    " peak='25600'/><outbound average='25600' peak='25600'/></bandwidth><target dev='vnet9'/><model type='virtio'/>"
    f"<link state='up'/><alias name='net0'/>{_PCI}</interface>",
    "Proxmox-like": f"<interface type='ethernet'>{_MAC}<script path='/var/lib/qemu-server/pve-bridge'/>"
    "<downscript path='/var/lib/qemu-server/pve-bridgedown'/><target dev='tap100i0'/><model type='virtio'/>"
    "<driver queues='2' rx_queue_size='1024' tx_queue_size='256'/><boot order='3'/></interface>",
    "two ends of a failover pair, the standby": f"<interface type='bridge'>{_MAC}<source bridge='br0'/>"
    "<model type='virtio'/><teaming type='persistent'/><alias name='ua-backup0'/></interface>",
    "tuned by hand": f"<interface type='bridge'>{_MAC}<source bridge='br0' macTableManager='libvirt'/>"
    "<target dev='vnet1'/><model type='virtio'/><driver name='vhost' txmode='iothread' ioeventfd='on' event_idx='off'"
    " packed='on' page_per_vq='on' rss='on' rss_hash_report='on'><host csum='off' gso='off' tso4='off' tso6='off'"
    " ecn='off' ufo='off' mrg_rxbuf='off'/><guest csum='off' tso4='off' tso6='off' ecn='off' ufo='off'/></driver>"
    "<backend tap='/dev/net/tun' vhost='/dev/vhost-net'/><tune><sndbuf>1600</sndbuf></tune><link state='down'/>"
    "<coalesce><rx><frames max='7'/></rx></coalesce><rom bar='off' file='/etc/fake.rom'/><acpi index='4'/></interface>",
    "a libvirt network that guarantees bandwidth": f"<interface type='network'>{_MAC}<source network='default'/>"
    "<bandwidth><inbound average='1000' peak='5000' floor='200' burst='1024'/><outbound average='128'/></bandwidth>"
    "<model type='virtio'/></interface>",
    "a floor alone": f"<interface type='network'>{_MAC}<source network='default'/><bandwidth><inbound floor='200'/>"
    "</bandwidth><model type='rtl8139'/></interface>",
    "KubeVirt": f"<interface type='ethernet'>{_MAC}<target dev='tap0' managed='no'/>"
    "<model type='virtio-non-transitional'/><driver name='vhost' rx_queue_size='256' tx_queue_size='256'/>"
    f"<mtu size='1450'/><alias name='ua-default'/><rom enabled='no'/>{_PCI}</interface>",
}

#: What keeps its network only on some targets: where it is refused is another matter.
MOVES_SOMEWHERE = {
    "oVirt": f"<interface type='bridge'>{_MAC}<source bridge='ovirtmgmt'/><target dev='vnet0'/><model type='virtio'/>"
    "<driver name='vhost' queues='4'/><filterref filter='vdsm-no-mac-spoofing'/><link state='up'/><mtu size='1500'/>"
    f"<alias name='ua-5a1c2a7e-5b7d-4c7e-9a51-0c0f5e6d1aff'/>{_PCI}</interface>",
    "OpenNebula": f"<interface type='bridge'>{_MAC}<source bridge='onebr.7'/><target dev='one-8-0'/>"
    "<model type='virtio'/><filterref filter='clean-traffic'><parameter name='IP' value='10.0.0.5'/></filterref>"
    "</interface>",
}

#: What is in no network of Kedge's, or is lost on every target.
NEVER = {
    "GNOME Boxes, passt": f"<interface type='user'>{_MAC}<backend type='passt'/><model type='virtio'/></interface>",
    "vagrant-libvirt, tunnel": f"<interface type='udp'>{_MAC}<source address='127.1.0.1' port='11000'>"
    "<local address='127.1.0.2' port='11000'/></source><model type='virtio'/></interface>",
    "multicast": f"<interface type='mcast'>{_MAC}<source address='230.0.0.1' port='5558'/></interface>",
    "OpenStack, vhost-user": f"<interface type='vhostuser'>{_MAC}<source type='unix' path='/run/vhu3f1c2a7e-5b'"
    " mode='server'/><model type='virtio'/></interface>",
    "OpenStack, SR-IOV": f"<interface type='hostdev' managed='yes'>{_MAC}<source><address type='pci' domain='0x0000'"
    " bus='0x81' slot='0x02' function='0x1'/></source><vlan><tag id='7'/></vlan></interface>",
    "OpenStack, Open vSwitch trunk": f"<interface type='bridge'>{_MAC}<source bridge='br0'/><vlan trunk='yes'>"
    "<tag id='7' nativeMode='untagged'/><tag id='8'/></vlan><virtualport type='openvswitch'/></interface>",
    "MidoNet": f"<interface type='bridge'>{_MAC}<source bridge='midonet'/><virtualport type='midonet'>"
    f"<parameters interfaceid='{_UUID}'/></virtualport></interface>",
    "VEPA switch": f"<interface type='direct'>{_MAC}<source dev='eth0' mode='vepa'/><virtualport type='802.1Qbg'>"
    f"<parameters managerid='11' typeid='1193047' typeidversion='2' instanceid='{_UUID}'/></virtualport></interface>",
    "Calico-like, routed": f"<interface type='ethernet'>{_MAC}<source><ip address='169.254.1.1' peer='10.0.0.5'/>"
    "<route family='ipv4' address='10.0.0.5' prefix='32' gateway='169.254.1.1'/></source><target dev='cali0'/>"
    "</interface>",
    "isolated": f"<interface type='bridge'>{_MAC}<source bridge='br0'/><port isolated='yes'/></interface>",
    "the transient one of a failover pair": f"<interface type='network'>{_MAC}<source network='sriov-pool'/>"
    "<teaming type='transient' persistent='ua-backup0'/></interface>",
}
