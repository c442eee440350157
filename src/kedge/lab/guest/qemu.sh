#!/bin/sh
# Stands in for QEMU on the lab's hosts, and gives each VM 8 KiB more memory than it was told to.
#
# QEMU before 9.0 loses writes of a guest that migrates under TCG: where a RAM block is a whole number of 256 KiB
# pieces, reading the dirty bitmap in one go leaves the vCPU's TLB as it was, and the next writes to those pages
# are not noted. The guest then arrives with stale memory (virtio: "id … is not a head!"). A RAM block of an odd
# size is read page by page, which does it right. The lab puts this file over the emulator in its hosts' mount
# namespaces, so neither libvirt nor a domain's XML knows of it. @QEMU@ becomes the real emulator.
count=$#
previous=
while [ "$count" -gt 0 ]; do
    argument=$1
    shift
    case "$previous $argument" in
    "-m size="*k*) argument=$(echo "$argument" | awk -F'[=k]' '{ sub($2, $2 + 8); print }') ;;
    "-m "[0-9]*) argument="$((argument * 1024 + 8))k" ;;
    *'"id":"pc.ram"'*) argument=$(echo "$argument" | awk -F'"size":' '{ sub(/"size":[0-9]+/, "\"size\":" ($2 + 8192)); print }') ;;
    esac
    set -- "$@" "$argument"
    previous=$argument
    count=$((count - 1))
done
exec @QEMU@ "$@"
