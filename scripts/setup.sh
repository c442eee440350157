#!/bin/sh
# Prepares a Debian 12 machine for Kedge's lab, tests and demo, as root: OS packages and the lab's guest.
# Starts no service and stops none. Says what it does; quick when all is there.
set -eu

here=$(cd "$(dirname "$0")/.." && pwd)
cache=/var/cache/kedge-lab

# What the lab runs; what libvirt-python is built with; what the guest is built with; what tests start for themselves.
packages="
libvirt-daemon libvirt-daemon-system libvirt-daemon-driver-qemu libvirt-clients
qemu-system-x86 qemu-utils openvswitch-switch iproute2 ethtool util-linux dmidecode ipxe-qemu seabios
iputils-ping
python3 python3-venv python3-dev libvirt-dev pkg-config gcc libc6-dev make
busybox-static cpio xz-utils gzip kmod
postgresql-15
"

[ "$(id -u)" = 0 ] || { echo "setup: run this as root" >&2; exit 1; }
command -v apt-get >/dev/null || { echo "setup: no apt-get; this is for Debian 12" >&2; exit 1; }

missing=""
for package in $packages; do
    status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
    [ "$status" = installed ] || missing="$missing $package"
done

refresh() {
    echo "setup: apt-get update"
    apt-get -q -q update
}

# Debian starts a package's services when it is installed, unless policy-rc.d says no. An answer that the machine
# gives already stays as it is, and is put back if it is a file we had to cover.
policy=/usr/sbin/policy-rc.d
kept=$policy.kedge-kept
restore_policy() {
    if [ -e "$kept" ]; then mv -f "$kept" "$policy"; else rm -f "$policy"; fi
}
forbid_services() {
    # A run that was killed has left our own answer behind; the machine's is then already kept.
    if [ -e "$policy" ] && ! grep -q kedge-setup "$policy"; then mv "$policy" "$kept"; fi
    trap restore_policy EXIT
    trap 'exit 130' INT TERM
    printf '#!/bin/sh\n# kedge-setup: no service is started while packages are installed.\nexit 101\n' > "$policy"
    chmod 755 "$policy"
}

# PostgreSQL's package makes a cluster of data when it is installed. Tests make their own, so it is told not to.
clusters=/etc/postgresql-common/createcluster.d
forbid_cluster() {
    trap 'restore_policy; allow_cluster' EXIT
    mkdir -p "$clusters"
    printf '# kedge-setup: no cluster is made while packages are installed.\ncreate_main_cluster = false\n' \
        > "$clusters/kedge-setup.conf"
}
allow_cluster() {
    rm -f "$clusters/kedge-setup.conf"
    rmdir --ignore-fail-on-non-empty "$clusters" 2>/dev/null || true
}

if [ -n "$missing" ]; then
    echo "setup: installing$missing"
    forbid_services
    forbid_cluster
    refresh
    # shellcheck disable=SC2086
    DEBIAN_FRONTEND=noninteractive apt-get -q -q install -y --no-install-recommends $missing
    restore_policy
    allow_cluster
    trap - EXIT INT TERM
else
    echo "setup: OS packages are there"
fi

if [ ! -s "$cache/vmlinuz" ] && [ -z "$(apt-cache depends linux-image-cloud-amd64 2>/dev/null)" ]; then
    refresh
fi
"$here/src/kedge/lab/guest/build.sh" "$cache"
