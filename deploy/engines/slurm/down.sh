#!/bin/bash
# Stop what up.sh started below DIR.   usage: down.sh DIR
set -u
dir=${1:?DIR}
export SLURM_CONF=$dir/slurm.conf
timeout 10 scancel --user="$(id -un)" --quiet 2>/dev/null
sleep 1
for file in slurmrestd.pid slurmd-n1.pid slurmd-n2.pid slurmctld.pid munge/pid; do
    [ -s "$dir/$file" ] && kill "$(cat "$dir/$file")" 2>/dev/null
done
# They write their state as they leave.
for _ in $(seq 40); do
    alive=
    for file in slurmd-n1.pid slurmd-n2.pid slurmctld.pid munge/pid; do
        [ -s "$dir/$file" ] && kill -0 "$(cat "$dir/$file")" 2>/dev/null && alive=1
    done
    [ -z "$alive" ] && exit 0
    sleep 0.25
done
