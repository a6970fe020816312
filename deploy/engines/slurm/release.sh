#!/bin/bash
# Runs COMMAND in another release of Debian, for that release's Slurm (trixie: 24.11). Checkout, home, /tmp and Python are
# this machine's, so the virtual environment's Python must lie outside /usr (pyenv, uv, conda).
# As root; the first time takes a minute and 600 MB.   usage: release.sh RELEASE ROOT COMMAND...
set -euo pipefail
release=${1:?RELEASE} root=${2:?ROOT}
shift 2
python=$(.venv/bin/python -c 'import sys; print(sys.base_prefix)')
[[ $python != /usr ]] || { echo "the environment's Python is the distribution's own, $release has another" >&2; exit 1; }

if [ ! -e "$root/.made" ]; then
    command -v debootstrap >/dev/null || apt-get install -y -qq --no-install-recommends debootstrap
    mkdir -p "$(dirname "$root")"
    # procps for down.sh; the libraries are those that Pythons are linked to.
    debootstrap --variant=minbase --include=procps,ca-certificates,libssl3t64,libffi8,libsqlite3-0,zlib1g,libbz2-1.0,liblzma5,libreadline8t64,libncursesw6,libexpat1,libgomp1 \
        "$release" "$root" "${ARCHIVE:-http://deb.debian.org/debian}" >"$root.log"
    touch "$root/.made"
fi
root=$(readlink -f "$root")
cp -L /etc/resolv.conf /etc/hosts /etc/hostname "$root/etc/"
# shellcheck disable=SC2016  expanded within
export PYTHON=$python
exec unshare --mount --propagation private bash -euc '
    root=$1; shift
    for folder in /proc /sys /dev /tmp "$HOME" "$PWD" "$PYTHON"; do
        mkdir -p "$root$folder"
        mount --rbind "$folder" "$root$folder"
    done
    exec chroot "$root" bash -c "cd \"\$0\" && exec \"\$@\"" "$PWD" "$@"
' enter "$root" "$@"
