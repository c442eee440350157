#!/bin/sh
# Stands in for QEMU on the lab's hosts: the lab puts it over the emulator in its hosts' mount namespaces, so that
# neither libvirt nor a domain's XML knows of it. @QEMU@ becomes the real emulator, @EXTRA_KIB@ 8 or 0.
#
# It lets VMs go before the rest of the machine: a real host does not share its CPUs with control plane and tests.
#
# It gives each VM 8 KiB more memory than it was told to, with QEMU before 9.0. That one seems to lose writes of a guest
# that migrates under TCG ("virtio: id … is not a head!"); with the 8 KiB it was not seen again. What we infer: where a
# RAM block is a whole number of 256 KiB pieces, reading the dirty bitmap in one go leaves the vCPU's TLB as it was, and
# the next writes to those pages are not noted. A RAM block of an odd size is read page by page, which does it right.
{ echo -15 > /proc/self/autogroup; renice -n -10 -p $$ >/dev/null; } 2>/dev/null
extra=@EXTRA_KIB@
count=$#
previous=
while [ "$count" -gt 0 ]; do
    argument=$1
    shift
    case "$previous $argument" in
    "-m size="*k*)
        rest=${argument#size=}
        argument="size=$((${rest%%k*} + extra))k${rest#*k}"
        ;;
    "-m "[0-9]*)
        argument="$((argument * 1024 + extra))k"
        ;;
    "-object "*'"id":"pc.ram","size":'*)
        rest=${argument#*'"size":'}
        digits=${rest%%[!0-9]*}
        argument="${argument%%'"size":'*}\"size\":$((digits + extra * 1024))${rest#"$digits"}"
        ;;
    esac
    set -- "$@" "$argument"
    previous=$argument
    count=$((count - 1))
done
exec @QEMU@ "$@"
