#!/bin/sh
# A base image where no registry can be reached: Debian with Python, from the archive alone. base-image.sh FILE.tar
# Load it with `docker import FILE.tar NAME` (or podman) and build with BASE=NAME.
set -eu
out=${1:?FILE.tar}
[ ! -s "$out" ] || exit 0
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
debootstrap --variant=minbase --include=python3-venv,ca-certificates bookworm "$root" "${ARCHIVE:-http://deb.debian.org/debian}" >"$out.log"
chroot "$root" apt-get clean
rm -rf "$root"/var/lib/apt/lists/* "$root"/var/cache/* "$root"/var/log/*.log "$root"/tmp/* \
    "$root"/usr/share/doc "$root"/usr/share/man "$root"/usr/share/info "$root"/usr/share/locale
find "$root" -name __pycache__ -prune -exec rm -rf {} +
tar -C "$root" --exclude='./dev/*' -cf "$out.new" .
mv "$out.new" "$out"
