#!/bin/sh
# Installs docker and podman from Debian (bookworm or later) or Ubuntu, as root. Starts nothing.
set -eu
export DEBIAN_FRONTEND=noninteractive
packages='docker.io podman buildah runc uidmap containernetworking-plugins netavark debootstrap iptables'
for package in $packages; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="${missing:-} $package"
done
[ -z "${missing:-}" ] && exit 0
apt-get update -qq
# shellcheck disable=SC2086  a list
apt-get install -y -qq --no-install-recommends $missing
