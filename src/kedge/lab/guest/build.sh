#!/bin/sh
# Builds the lab's guest: a Debian cloud kernel and an initramfs of busybox and guestd. Needs no running guest,
# installs nothing. Usage: build.sh DIRECTORY; makes DIRECTORY/vmlinuz and DIRECTORY/initrd, and does nothing
# when both were made from the same inputs before.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
cache=${1:?usage: build.sh DIRECTORY}
modules="virtio_ring virtio virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci failover net_failover virtio_net"

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

# The cloud kernel's own package is what linux-image-cloud-amd64 depends on.
package=$(apt-cache depends linux-image-cloud-amd64 | sed -n 's/^ *Depends: \(linux-image-[0-9].*\)/\1/p' | head -n 1)
[ -n "$package" ] || { echo "guest: apt knows no linux-image-cloud-amd64; run apt-get update" >&2; exit 1; }
echo "guest: fetching $package"
apt-get -o APT::Sandbox::User=root -q -q download "$package"
dpkg-deb -x "$package"_*.deb kernel

echo "guest: building the initramfs"
mkdir -p root/bin root/proc root/sys root/dev root/modules
cp /bin/busybox root/bin/busybox
for applet in sh mount insmod ip cat basename dirname; do
    ln -s busybox "root/bin/$applet"
done
cp "$here/init" root/init
chmod 755 root/init
gcc -O2 -Wall -Werror -static -s -o root/bin/guestd "$here/guestd.c"
for module in $modules; do
    found=$(find kernel/lib/modules -name "$module.ko*" | head -n 1)
    case $found in
    "") ;; # built into the kernel
    *.xz) xz -dc "$found" > "root/modules/$module.ko" ;;
    *) cp "$found" "root/modules/$module.ko" ;;
    esac
done
# The kernel opens /dev/console for init before anything is mounted.
mknod root/dev/console c 5 1
(cd root && find . | LC_ALL=C sort | cpio --quiet -o -H newc -R 0:0 | gzip -1) > initrd

cp kernel/boot/vmlinuz-* "$cache/vmlinuz.new"
cp initrd "$cache/initrd.new"
mv "$cache/vmlinuz.new" "$cache/vmlinuz"
mv "$cache/initrd.new" "$cache/initrd"
echo "$inputs" > "$cache/inputs"
echo "guest: built in $cache from $package"
