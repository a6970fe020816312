#!/bin/bash
# Builds the images of deploy/docker for this machine's processors where no registry can be reached: from a base out of the
# Debian archive, with the pinned wheels of the package index that pip is configured for.
# As root, with docker (up.sh starts one).   usage: images.sh PYTHON WORK
# Tags: tunegate-test/gateway:1 and tunegate-test/trainer:1. DOCKER_HOST names the engine.
set -euo pipefail
python=${1:?PYTHON} work=${2:?WORK}
here=$(dirname "$(readlink -f "$0")")
root=$(readlink -f "$here/../../..")
mkdir -p "$work/wheels"
work=$(readlink -f "$work")
# BuildKit's client is a plugin of newer dockers and part of Debian's own.
docker() { "$cli" "$@"; }
cli=$(type -P docker)
"$cli" buildx version >/dev/null 2>&1 || [ ! -x /usr/bin/docker ] || cli=/usr/bin/docker

"$here/base-image.sh" "$work/base.tar"
docker image inspect tunegate-test/base:1 >/dev/null 2>&1 || docker import "$work/base.tar" tunegate-test/base:1 >/dev/null

# What pip is told here is told to the build; paths of this machine are not, and its certificates go along.
"$python" -m pip config list | sed -n "s/^global\.\(index-url\|trusted-host\)='\(.*\)'$/\1 = \2/p" |
    { echo '[global]'; echo 'cert = /run/secrets/ca'; cat; } >"$work/pip.conf"

# torch for processors alone comes from wherever pip finds it: the index's own brings gigabytes for GPUs.
if ! ls "$work"/wheels/torch-*.whl >/dev/null 2>&1; then
    "$python" -m pip download -q --no-deps -d "$work/wheels" "$(grep '^torch==' "$root/config/constraints.txt")"
fi
docker image inspect tunegate-test/wheels:1 >/dev/null 2>&1 ||
    tar -C "$work/wheels" -c . | docker import - tunegate-test/wheels:1 >/dev/null

args="-q --network host --build-arg BASE=tunegate-test/base:1 --build-arg WHEELS=tunegate-test/wheels:1
    --secret id=pip,src=$work/pip.conf --secret id=ca,src=${CA_FILE:-/etc/ssl/certs/ca-certificates.crt}"
make -s -C "$root" images ENGINE="$cli" REPOSITORY=tunegate-test TAG=1 GATEWAY_ARGS="${args//$'\n'/}" \
    TRAINER_ARGS="${args//$'\n'/} --build-arg COMPILER= --build-arg TORCH_INDEX= --build-arg EXTRAS=trainer"
for image in gateway trainer; do
    docker image inspect -f "{{.Size}}" "tunegate-test/$image:1" | awk -v image="$image" '{ printf "%s: %.0f MB\n", image, $1 / 1e6 }'
done
