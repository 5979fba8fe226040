#!/bin/bash
# A closed initrd: once keys may be there, nothing on the host's console takes input, and what fails
# powers the machine off. After the modules that bring shells, prompts and other openers, this takes
# them out again. What is on the kernel's command line, the host says, unless it is measured.

check() {
    return 255
}

depends() {
    echo dracut-systemd systemd-sysctl
}

# Prompts and logins, by their units.
NITRIDE_MASKED=(
    debug-shell.service dracut-cmdline-ask.service
    getty@.service serial-getty@.service console-getty.service container-getty@.service autovt@.service getty.target
    systemd-ask-password-console.path systemd-ask-password-console.service
    systemd-ask-password-wall.path systemd-ask-password-wall.service
    systemd-ask-password-plymouth.path systemd-ask-password-plymouth.service
    systemd-firstboot.service kbrequest.target
    systemd-hibernate-resume.service systemd-hibernate-clear.service
    systemd-sysext.service systemd-confext.service systemd-sysext-sysroot.service systemd-confext-sysroot.service
)

# The generators that stay, and no others: they run before any unit, with the host's credentials and by its
# variables of the firmware. systemd's, which would make units of both, run without.
NITRIDE_GENERATORS=(
    dracut-rootfs-generator
    systemd-fstab-generator
    systemd-veritysetup-generator
)

# Who opens a volume by the header that the host wrote; who logs in or asks; who takes the memory of another kernel
# from a disk.
NITRIDE_REMOVED=(
    /usr/lib/systemd/systemd-cryptsetup /usr/bin/systemd-cryptsetup
    /usr/lib/systemd/systemd-sulogin-shell /usr/lib/systemd/systemd-reply-password
    /usr/bin/dracut-emergency /usr/bin/systemd-run /usr/bin/systemd-tty-ask-password-agent
    /usr/sbin/sulogin /usr/bin/sulogin /sbin/sulogin /usr/sbin/agetty /sbin/agetty /usr/bin/login
    /usr/sbin/cryptroot-ask /sbin/cryptroot-ask
    /usr/lib/systemd/systemd-hibernate-resume /lib/dracut/parse-resume.sh /usr/lib/dracut/parse-resume.sh
    /usr/sbin/resume /usr/bin/resume /usr/lib/systemd/system/sysinit.target.wants/systemd-hibernate-resume.service
    /usr/bin/systemd-sysext /usr/bin/systemd-confext /usr/lib/systemd/systemd-importd
)

nitride_generators() {
    local file name folder=/usr/lib/systemd/system-generators real=/usr/lib/nitride
    for file in "$initdir"/{usr/lib,etc,usr/local/lib,run}/systemd/system{,-environment}-generators/*; do
        name=${file##*/}
        [[ " ${NITRIDE_GENERATORS[*]} " == *" $name "* ]] || rm -f "$file"
    done
    mkdir -p -m 0755 "$initdir$real"
    for name in systemd-fstab-generator systemd-veritysetup-generator; do
        [[ -e $initdir$folder/$name ]] || continue
        mv "$initdir$folder/$name" "$initdir$real/$name" || return 1
        inst_script "$moddir/fstab-generator" "$folder/$name" || return 1
        grep -q "^exec $real/" "$initdir$folder/$name" || return 1
    done
    # The same program by another name, which it goes by.
    if [[ -L $initdir/usr/lib/systemd/systemd-sysroot-fstab-check ]]; then
        ln -sf ../nitride/systemd-fstab-generator "$initdir/usr/lib/systemd/systemd-sysroot-fstab-check"
    fi
    return 0
}

install() {
    local name module unit=$systemdsystemunitdir/nitride-closed.service
    for module in debug rescue systemd-emergency ssh-client busybox; do
        if dracut_module_included "$module"; then
            dfatal "nitride: the dracut module $module opens what has to be closed: --omit $module"
            exit 1
        fi
    done
    mkdir -p -m 0755 "$initdir"/etc/systemd/{system,system.conf.d} "$initdir/etc/sysctl.d" "$initdir/etc/cmdline.d"
    for name in "${NITRIDE_REMOVED[@]}"; do
        rm -f "$initdir$name"
    done
    nitride_generators || { dfatal "nitride: the generators cannot be closed"; exit 1; }
    for name in "${NITRIDE_MASKED[@]}"; do
        ln -sf /dev/null "$initdir/etc/systemd/system/$name"
    done
    inst_simple "$moddir/nitride-closed.service" "$unit"
    for name in emergency rescue dracut-emergency; do
        rm -f "$initdir$systemdsystemunitdir/$name.service"
        ln -sf "$unit" "$initdir/etc/systemd/system/$name.service"
    done
    inst_simple "$moddir/no-credentials.conf" "$systemdsystemunitdir/service.d/90-nitride-no-credentials.conf"
    inst_simple "$moddir/manager.conf" /etc/systemd/system.conf.d/90-nitride.conf
    inst_simple "$moddir/sysctl.conf" /etc/sysctl.d/99-nitride.conf
    inst_multiple echo poweroff
    echo "rd.shell=0 rd.emergency=poweroff" >"$initdir/etc/cmdline.d/91-nitride-closed.conf"
    for name in "$unit" /etc/systemd/system/emergency.service /etc/systemd/system.conf.d/90-nitride.conf /etc/sysctl.d/99-nitride.conf \
        "$systemdsystemunitdir/service.d/90-nitride-no-credentials.conf" "$systemdutildir/systemd-shutdown" "$systemdutildir/systemd-sysctl" /usr/bin/echo; do
        if [[ ! -e $initdir$name && ! -L $initdir$name ]]; then
            dfatal "nitride: $name is not in the initrd, and so it is not closed"
            exit 1
        fi
    done
    return 0
}
