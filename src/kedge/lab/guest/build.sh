#!/bin/sh
# Builds the lab's guest: a Debian cloud kernel and an initramfs of busybox and guestd. Needs no running guest,
# installs nothing. Usage: build.sh DIRECTORY; makes DIRECTORY/vmlinuz and DIRECTORY/initrd, and does nothing
# when both were made from the same inputs before.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
cache=${1:?usage: build.sh DIRECTORY}
modules="virtio_ring virtio virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci failover net_failover virtio_net macvlan"

inputs=$(cat "$here/build.sh" "$here/init" "$here/guestd.c" /bin/busybox | sha256sum | cut -d' ' -f1)
if [ -s "$cache/vmlinuz" ] && [ -s "$cache/initrd" ] && [ "$(cat "$cache/inputs" 2>/dev/null)" = "$inputs" ]; then
    echo "guest: up to date in $cache"
    exit 0
fi

mkdir -p "$cache"
rm -f "$cache/inputs"
work=$(mktemp -d "$cache/build.XXXXXX")
trap 'rm -rf "$work"' EXIT
cd "$work"

echo "guest: fetching Debian's cloud kernel, if it is not there"
kernel=$(PYTHONPATH="$here/../../.." /usr/bin/python3 -m kedge.lab.kernel "$cache")

echo "guest: building the initramfs"
mkdir -p root/bin root/proc root/sys root/dev root/modules
cp /bin/busybox root/bin/busybox
for applet in sh mount insmod ip cat basename dirname usleep arping; do
    ln -s busybox "root/bin/$applet"
done
cp "$here/init" root/init
chmod 755 root/init
gcc -O2 -Wall -Werror -static -s -o root/bin/guestd "$here/guestd.c"
for module in $modules; do
    found=$(find "$kernel/lib/modules" -name "$module.ko*" | head -n 1)
    case $found in
    "") ;; # built into the kernel
    *.xz) xz -dc "$found" > "root/modules/$module.ko" ;;
    *) cp "$found" "root/modules/$module.ko" ;;
    esac
done
# The kernel opens /dev/console for init before anything is mounted.
mknod root/dev/console c 5 1
(cd root && find . | LC_ALL=C sort | cpio --quiet -o -H newc -R 0:0 | gzip -1) > initrd

cp "$kernel"/boot/vmlinuz-* "$cache/vmlinuz.new"
cp initrd "$cache/initrd.new"
mv "$cache/vmlinuz.new" "$cache/vmlinuz"
mv "$cache/initrd.new" "$cache/initrd"
echo "$inputs" > "$cache/inputs"
echo "guest: built in $cache"
