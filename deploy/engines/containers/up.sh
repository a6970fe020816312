#!/bin/sh
# dockerd and podman's API service, private, as root, without systemd; all below DIR.   usage: up.sh DIR
# Neither makes a bridge or firewall rules by itself, so that they run beside another engine.
set -eu
dir=${1:?DIR}
here=$(dirname "$(readlink -f "$0")")
mkdir -p "$dir/docker" "$dir/podman/tmp"
dir=$(readlink -f "$dir")

wait_for() {
    for _ in $(seq 120); do
        curl -sf --unix-socket "$1/engine.sock" http://engine/_ping >/dev/null 2>&1 && return
        sleep 0.25
    done
    tail -5 "$1/log" >&2
    exit 1
}

setsid dockerd --data-root "$dir/docker/data" --exec-root "$dir/docker/exec" --pidfile "$dir/docker/pid" \
    -H "unix://$dir/docker/engine.sock" --iptables=false --ip6tables=false --ip-masq=false --bridge=none \
    --exec-opt native.cgroupdriver=cgroupfs --default-ulimit nofile=20000:20000 --oom-score-adjust 0 \
    </dev/null >"$dir/docker/log" 2>&1 &
wait_for "$dir/docker"

for file in containers.conf storage.conf; do sed "s|@DIR@|$dir/podman|g" "$here/$file.in" >"$dir/podman/$file"; done
CONTAINERS_CONF="$dir/podman/containers.conf" CONTAINERS_STORAGE_CONF="$dir/podman/storage.conf" \
    setsid podman system service --time=0 "unix://$dir/podman/engine.sock" </dev/null >"$dir/podman/log" 2>&1 &
echo $! >"$dir/podman/pid"
wait_for "$dir/podman"

cat >"$dir/engine.env" <<ENV
TUNEGATE_TEST_DOCKER=$dir/docker/engine.sock
TUNEGATE_TEST_PODMAN=$dir/podman/engine.sock
CONTAINERS_CONF=$dir/podman/containers.conf
CONTAINERS_STORAGE_CONF=$dir/podman/storage.conf
ENV
echo "docker and podman are up: $dir/docker/engine.sock $dir/podman/engine.sock"
