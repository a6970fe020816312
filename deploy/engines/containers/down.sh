#!/bin/sh
# Ends what up.sh started below DIR, and unmounts what it left. Images stay in DIR.   usage: down.sh DIR
set -u
dir=$(readlink -f "${1:?DIR}") || exit 0
for engine in docker podman; do
    sock=$dir/$engine/engine.sock
    [ -S "$sock" ] || continue
    curl -sf --unix-socket "$sock" 'http://engine/containers/json?all=1' | grep -o '"Id":"[0-9a-f]\{64\}"' | cut -d'"' -f4 |
        while read -r id; do curl -s -o /dev/null -X DELETE --unix-socket "$sock" "http://engine/containers/$id?force=1&v=1"; done
done
for file in "$dir"/*/pid; do
    [ -s "$file" ] || continue
    pid=$(cat "$file")
    kill "$pid" 2>/dev/null
    for _ in $(seq 40); do kill -0 "$pid" 2>/dev/null || break; sleep 0.25; done
    kill -9 "$pid" 2>/dev/null
    rm -f "$file"
done
awk -v dir="$dir/" 'index($2, dir) == 1 { print $2 }' /proc/mounts | sort -r | while read -r mount; do umount -l "$mount"; done
