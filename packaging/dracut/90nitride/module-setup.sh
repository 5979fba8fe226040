#!/bin/bash
# Nitride in an initrd of dracut: the vault, its courier, the evidence helper, and what opens volumes
# by them. What they are told lies in the image below /etc/nitride/initrd, and becomes /etc/vhsm and
# /etc/nitride of the initrd. Nothing is left out quietly: what is missing ends the build, by name.
#
# dracut sources this file, and calls what it defines.

NITRIDE_OWN=/etc/nitride/initrd

# An image that has a folder for the initrd's configuration wants the module; any other has to ask for it.
check() {
    [[ -d ${dracutsysrootdir-}$NITRIDE_OWN ]] && return 0
    return 255
}

depends() {
    echo dm rootfs-block systemd-initrd systemd-modules-load systemd-networkd systemd-sysctl systemd-sysusers nitride-closed
}

nitride_fails() {
    dfatal "nitride: $*"
    exit 1
}

# The values of one key of TOML, of lines `key = "value"`, in their order.
nitride_values() {
    sed -n "s/^[[:space:]]*$1[[:space:]]*=[[:space:]]*\"\([^\"]*\)\".*/\1/p" "$2"
}

installkernel() {
    local module
    # Without these no volume opens.
    for module in dm_mod dm_crypt; do
        hostonly='' instmods -c "$module" || nitride_fails "the kernel $kernel has no module $module"
    done
    # What a volume may say (aes-xts, with or without integrity), and cryptsetup's way to its slots.
    # Some kernels have some of these built in, or by other names.
    hostonly='' instmods dm_integrity xts cbc essiv aes_generic aesni_intel hmac sha256_generic sha512_generic \
        authenc gcm aegis128 chacha20poly1305 algif_skcipher algif_hash algif_aead af_alg drbg loop
    # Where evidence comes from.
    hostonly='' instmods configfs tsm sev-guest tdx-guest tpm_crb tpm_tis
    # Disks and networks of virtual machines, whatever this one has.
    hostonly='' instmods virtio_pci virtio_blk virtio_scsi virtio_net virtio_rng nvme sd_mod hv_vmbus hv_netvsc hv_storvsc \
        pci-hyperv ena gve mana
    return 0
}

nitride_programs() {
    local name program=/usr/libexec/nitride-initrd
    # One file by its four names, with what it is linked to. Each is a name of its own and no symbolic link: it
    # is what a process is found by, and what units say who may start.
    inst_binary "$program" /usr/bin/vhsmd || nitride_fails "$program is missing"
    mkdir -p -m 0755 "$initdir/usr/libexec"
    for name in /usr/bin/nitride-agent /usr/bin/nitride-unlock /usr/libexec/nitride-quote; do
        ln -f "$initdir/usr/bin/vhsmd" "$initdir$name" || nitride_fails "$name cannot be made"
    done
    program=/usr/sbin/cryptsetup
    inst_binary "$program" || nitride_fails "$program is missing"
    # What is loaded by name, and not in the list of libraries: how the TPM's library reaches a device.
    # (libtss2-tctildr looks for the other ways as well, and goes without them.)
    inst_libdir_file 'libtss2-tcti-device.so*'
    compgen -G "$initdir/usr/lib*/libtss2-tcti-device.so.0" >/dev/null \
        || compgen -G "$initdir/usr/lib/*/libtss2-tcti-device.so.0" >/dev/null \
        || nitride_fails "libtss2-tcti-device.so.0 is missing"
}

# With the numbers that they have in the image: what one of them owns in /run is found again after the
# switch.
nitride_users() {
    local name line
    for name in vhsm nitride nitride-unlock; do
        line=$(grep "^$name:" "${dracutsysrootdir-}/etc/passwd") || nitride_fails "there is no user $name: systemd-sysusers"
        echo "$line" >>"$initdir/etc/passwd"
    done
    for name in vhsm nitride nitride-unlock vhsm-clients tss disk; do
        line=$(grep "^$name:" "${dracutsysrootdir-}/etc/group") || nitride_fails "there is no group $name: systemd-sysusers"
        grep -q "^$name:" "$initdir/etc/group" 2>/dev/null || echo "$line" >>"$initdir/etc/group"
    done
}

nitride_configuration() {
    local own=${dracutsysrootdir-}$NITRIDE_OWN file path
    for file in vhsmd.toml policy.d agent.toml quote.toml unlock.toml; do
        [[ -e $own/$file ]] || nitride_fails "$NITRIDE_OWN/$file is missing"
    done
    mkdir -p -m 0755 "$initdir/etc/vhsm" "$initdir/etc/nitride"
    # Nothing in it is secret, and an initrd belongs to root whoever built it: each program has to be
    # able to read its own.
    (umask 022 && cp -rL --no-preserve=all "$own/." "$initdir/etc/nitride/") || nitride_fails "$NITRIDE_OWN cannot be copied"
    mv "$initdir/etc/nitride/vhsmd.toml" "$initdir/etc/nitride/policy.d" "$initdir/etc/vhsm/" || nitride_fails "vhsmd.toml cannot be placed"
    [[ -e $initdir/etc/nitride/resolv.conf ]] && mv "$initdir/etc/nitride/resolv.conf" "$initdir/etc/resolv.conf"
    # Every file that it speaks of.
    while read -r path; do
        [[ -e $initdir$path ]] || nitride_fails "the configuration names $path, which is not below $NITRIDE_OWN"
    done < <(grep -rhoE '^[^#]*"/etc/[^"]+"' "$initdir/etc/vhsm" "$initdir/etc/nitride" | grep -oE '/etc/[^"]+')
    # Names are asked of files and DNS alone, whatever the image asks besides.
    printf 'passwd: files\ngroup: files\nhosts: files dns\n' >"$initdir/etc/nsswitch.conf"
    [[ -e $initdir/etc/hosts ]] || printf '127.0.0.1 localhost\n::1 localhost\n' >"$initdir/etc/hosts"
}

nitride_drop_in() {
    inst_simple "$moddir/units/$1" "$systemdsystemunitdir/$2.d/90-nitride-${1}" || nitride_fails "units/$1 cannot be installed"
}

# A unit as the packages have it, with what the initrd changes of it.
nitride_unit() {
    inst_simple "$systemdsystemunitdir/$1" || nitride_fails "the unit $1 is missing"
    shift
    local drop_in unit=$1
    shift
    for drop_in in "$@"; do
        nitride_drop_in "$drop_in" "$unit"
    done
}

nitride_wants() {
    mkdir -p -m 0755 "$initdir$systemdsystemunitdir/$1"
    ln -sf "../$3" "$initdir$systemdsystemunitdir/$1/$2"
}

# Of a unified kernel image systemd measures phases of its own into PCR 11. It says nothing and measures
# nothing where the TPM's driver or one of the TPM's libraries is not there yet; and the service's value for
# PCR 11 is computed for one of the two.
nitride_phases_of_systemd() {
    [[ -e $initdir$systemdsystemunitdir/systemd-pcrphase-initrd.service ]] || return 0
    nitride_drop_in nitride-quote-tpm.conf systemd-pcrphase-initrd.service
    inst_libdir_file 'libtss2-rc.so*'
    compgen -G "$initdir/usr/lib*/libtss2-rc.so.0" >/dev/null \
        || compgen -G "$initdir/usr/lib/*/libtss2-rc.so.0" >/dev/null \
        || dwarn "nitride: libtss2-rc.so.0 is missing: systemd measures no enter-initrd into PCR 11 (nitride-verify measure uki --phases '')"
}

nitride_units() {
    local unit name names
    for unit in vhsm.socket vhsm-admin.socket vhsm-agent.socket nitride-quote.socket; do
        nitride_unit "$unit" "$unit" before-switch-root.conf
        nitride_wants sockets.target.wants "$unit" "$unit"
    done
    nitride_unit vhsm-disk@.socket vhsm-disk@.socket before-switch-root.conf
    nitride_unit vhsmd.service vhsmd.service before-switch-root.conf vhsmd.conf
    nitride_unit nitride-agent.service nitride-agent.service before-switch-root.conf nitride-agent.conf
    nitride_unit nitride-quote.service nitride-quote.service before-switch-root.conf nitride-quote.conf
    if grep -qE '^[^#]*"[^"]*tpmrm0|^[[:space:]]*(tee|platform|register)[[:space:]]*=[[:space:]]*"(tpm|az-|pcr-)' "$initdir/etc/nitride/quote.toml"; then
        nitride_drop_in nitride-quote-tpm.conf nitride-quote.service
        nitride_phases_of_systemd
    fi
    nitride_unit nitride-unlock@.service nitride-unlock@.service nitride-unlock.conf
    inst_simple /usr/lib/tmpfiles.d/nitride-unlock.conf || nitride_fails "tmpfiles.d/nitride-unlock.conf is missing"
    for unit in nitride-leave.service nitride-network.service nitride-root.service; do
        inst_simple "$moddir/units/$unit" "$systemdsystemunitdir/$unit" || nitride_fails "units/$unit cannot be installed"
    done
    inst_script "$moddir/name-resolvers" /usr/lib/nitride/name-resolvers || nitride_fails "name-resolvers cannot be installed"

    # Early, so that keys are at hand when the disks are.
    nitride_wants initrd-root-device.target.wants vhsmd.service vhsmd.service
    nitride_wants initrd-root-device.target.wants nitride-agent.service nitride-agent.service
    names=$(nitride_values volume "$initdir/etc/vhsm/vhsmd.toml")
    [[ $names ]] || nitride_fails "$NITRIDE_OWN/vhsmd.toml has no [[disk-key]]"
    for name in $names; do
        nitride_wants sockets.target.wants "vhsm-disk@$name.socket" vhsm-disk@.socket
    done
    names=$(nitride_values name "$initdir/etc/nitride/unlock.toml")
    [[ $names ]] || nitride_fails "$NITRIDE_OWN/unlock.toml has no [[volume]]"
    for name in $names; do
        nitride_wants initrd-root-device.target.requires "nitride-unlock@$name.service" nitride-unlock@.service
    done
    nitride_wants initrd-root-device.target.wants nitride-root.service nitride-root.service
    nitride_wants initrd.target.wants nitride-leave.service nitride-leave.service
    nitride_wants initrd-cleanup.service.requires nitride-leave.service nitride-leave.service
    nitride_wants initrd-switch-root.service.requires nitride-leave.service nitride-leave.service
    # It waits for every interface, for two minutes.
    ln -sf /dev/null "$initdir/etc/systemd/system/systemd-networkd-wait-online.service"
}

install() {
    # dracut goes on without a module whose file bash cannot read, and this one closes the initrd.
    bash -n "$moddir/../99nitride-closed/module-setup.sh" || nitride_fails "99nitride-closed cannot be read: reinstall nitride-dracut"
    nitride_programs
    nitride_users
    nitride_configuration
    mkdir -p -m 0755 "$initdir/etc/systemd/system"
    nitride_units
    # What is opened is opened by the copy of a header that was checked, and by nobody else.
    [[ -s $initdir/etc/crypttab ]] && nitride_fails "a volume of /etc/crypttab is wanted in the initrd: systemd-cryptsetup would believe the host's header"
    # dracut's own patience for the root device is shorter than unlock.toml's may be.
    echo "rd.luks=0 rd.retry=86400" >"$initdir/etc/cmdline.d/90-nitride.conf"
    return 0
}
