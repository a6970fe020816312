#!/bin/bash
# Stop what up.sh started.   usage: down.sh DIR
set -u
dir=${1:?DIR}
for name in node2 head; do # `ray stop` would end every Ray of this machine
    [ -s "$dir/$name.pid" ] && kill "$(cat "$dir/$name.pid")" 2>/dev/null
done
for _ in $(seq 60); do
    alive=
    for name in node2 head; do
        [ -s "$dir/$name.pid" ] && kill -0 "$(cat "$dir/$name.pid")" 2>/dev/null && alive=1
    done
    [ -z "$alive" ] && break
    sleep 0.25
done
for name in node2 head; do
    [ -s "$dir/$name.pid" ] && kill -KILL -- "-$(cat "$dir/$name.pid")" 2>/dev/null
done
[ -s "$dir/temp" ] && rm -rf "$(cat "$dir/temp")"
exit 0
