#!/bin/bash
# Ray on this machine alone: a head and a second node of two processors each, with a token. Ray itself listens on all
# addresses but for its dashboard.   usage: up.sh VENV DIR [FIRST_PORT]
set -eu
venv=${1:?VENV} dir=${2:?DIR} port=${3:-26379}
mkdir -p "$dir"
dir=$(cd "$dir" && pwd) venv=$(cd "$venv" && pwd)
temp=$(mktemp -d /tmp/tunegate-ray.XXXXXX) # names of sockets may not be long
(umask 077; head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n' >"$dir/token")
cat >"$dir/engine.env" <<ENV
TUNEGATE_RAY=http://127.0.0.1:$((port + 1))
TUNEGATE_RAY_DIR=$dir
TUNEGATE_RAY_VENV=$venv
ENV
export PATH=$venv/bin:$PATH RAY_USAGE_STATS_ENABLED=0 RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH=$dir/token
unset RAY_ADDRESS
echo "$temp" >"$dir/temp"

start() { # NAME ARGUMENT...
    local name=$1
    shift
    setsid ray start --block --disable-usage-stats --node-ip-address=127.0.0.1 --num-cpus=2 --memory=4000000000 \
        --object-store-memory=100000000 "$@" </dev/null >"$dir/$name.log" 2>&1 &
    echo $! >"$dir/$name.pid"
}

start head --head --port="$port" --dashboard-host=127.0.0.1 --dashboard-port=$((port + 1)) --temp-dir="$temp" \
    --ray-client-server-port=$((port + 2)) --min-worker-port=$((port + 100)) --max-worker-port=$((port + 199)) \
    --dashboard-agent-listen-port=$((port + 3)) --dashboard-agent-grpc-port=$((port + 4)) \
    --labels=disk=slow
ask() { curl -sf -m 5 -H "Authorization: Bearer $(cat "$dir/token")" "http://127.0.0.1:$((port + 1))$1"; }
for _ in $(seq 240); do ask /api/version >/dev/null && break; sleep 0.25; done
start node2 --address="127.0.0.1:$port" --min-worker-port=$((port + 200)) --max-worker-port=$((port + 299)) \
    --dashboard-agent-listen-port=$((port + 5)) --dashboard-agent-grpc-port=$((port + 6)) \
    --labels=disk=fast
for _ in $(seq 240); do
    [ "$(ask '/api/v0/nodes' | grep -o '"state": "ALIVE"' | wc -l)" = 2 ] && break
    sleep 0.25
done
[ "$(ask '/api/v0/nodes' | grep -o '"state": "ALIVE"' | wc -l)" = 2 ] || { tail -n 30 "$dir"/*.log; exit 1; }
echo "Ray $("$venv/bin/python" -c 'import ray; print(ray.__version__)') is up: http://127.0.0.1:$((port + 1))"
