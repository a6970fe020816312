#!/bin/bash
# Slurm on this machine alone, private, as root, without systemd and cgroups: a controller, two nodes with two fake GPUs
# each, and slurmrestd. Everything lies below DIR.   usage: up.sh DIR [FIRST_PORT]
set -eu
dir=${1:?DIR} port=${2:-16817}
here=$(cd "$(dirname "$0")" && pwd)
host=$(hostname -s)
memory=$(( $(awk '/MemTotal/ {print $2}' /proc/meminfo) / 2048 - 256 ))
mkdir -p "$dir"/{state,log,munge}
dir=$(cd "$dir" && pwd)
chmod 755 "$dir"
chmod 700 "$dir/munge"

make_key() { [ -f "$1" ] || (umask 077; head -c "$2" /dev/urandom >"$1"); }
make_key "$dir/munge/key" 128
make_key "$dir/jwt.key" 32

munged --force --key-file="$dir/munge/key" --socket="$dir/munge.sock" --pid-file="$dir/munge/pid" \
    --log-file="$dir/log/munged.log" --seed-file="$dir/munge/seed" </dev/null >/dev/null 2>&1

printf 'NodeName=n[1-2] Name=gpu Type=fake File=%s\n' /dev/null /dev/zero >"$dir/gres.conf"
sed -e "s#@DIR@#$dir#g; s#@HOST@#$host#g; s#@MEMORY@#$memory#g" \
    -e "s#@CTLD@#$port#g; s#@N1@#$((port + 1))#g; s#@N2@#$((port + 2))#g" "$here/slurm.conf.in" >"$dir/slurm.conf"
if [ "$(slurmctld -V | awk '{print int($2)}')" -ge 24 ]; then
    sed -i '/^SwitchType/d' "$dir/slurm.conf"
    echo 'CgroupPlugin=disabled' >"$dir/cgroup.conf"
fi

export SLURM_CONF=$dir/slurm.conf
slurmctld -f "$SLURM_CONF" </dev/null >"$dir/log/start.log" 2>&1
for node in n1 n2; do slurmd -f "$SLURM_CONF" -N "$node" </dev/null >>"$dir/log/start.log" 2>&1; done
for _ in $(seq 120); do
    [ "$(sinfo --noheader --format=%T%D 2>/dev/null)" = idle2 ] && break
    sleep 0.25
done
[ "$(sinfo --noheader --format=%T%D)" = idle2 ] || { sinfo; tail "$dir"/log/*.log; exit 1; }

# It may not run as root, nor as SlurmUser.
plugins=$(slurmctld -V | awk '{print (int($2) < 23) ? "openapi/v0.0.38" : "slurmctld"}')
SLURM_JWT=daemon setsid setpriv --reuid=65534 --regid=65534 --clear-groups \
    slurmrestd -f "$SLURM_CONF" -a rest_auth/jwt -s "$plugins" "127.0.0.1:$((port + 3))" \
    </dev/null >"$dir/log/slurmrestd.log" 2>&1 &
echo $! >"$dir/slurmrestd.pid"
for _ in $(seq 40); do (exec 3<>"/dev/tcp/127.0.0.1/$((port + 3))") 2>/dev/null && break; sleep 0.25; done
cat >"$dir/engine.env" <<ENV
SLURM_CONF=$SLURM_CONF
TUNEGATE_SLURMRESTD=http://127.0.0.1:$((port + 3))
ENV
echo "Slurm $(slurmctld -V | awk '{print $2}') is up: SLURM_CONF=$SLURM_CONF"
