#!/bin/bash
# One node of Kubernetes on this machine alone, without systemd: etcd, API server, controllers, scheduler, containerd, kubelet,
# proxy, and dnsmasq for its names. BINDIR has the servers of any release from 1.20 on (the proxy may be of another). As root.
# Pods reach the machine at 10.244.7.1; the node says that it has two GPUs.
# usage: up.sh BINDIR DIR [IMAGE.tar...]
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
bin=$(readlink -f "${1:?BINDIR}") dir=${2:?DIR} port=${PORT:-16443}
shift 2
images=()
for image in "$@"; do images+=("$(readlink -f "$image")"); done
mkdir -p "$dir"/{etcd,certs,log,containerd/cni,kubelet}
dir=$(readlink -f "$dir")
cd "$dir"
version() { "$bin/$1" --version | sed 's/.* v//'; }
minor() { version "$1" | cut -d. -f2; }
# Programs before 1.24 must be told what later ones do anyway, and know no other way.
[ "$(minor kube-controller-manager)" -ge 24 ] || insecure=--port=0
[ "$(minor kubelet)" -ge 24 ] || runtime=--container-runtime=remote
[ "$(minor kubelet)" -lt 31 ] || cgroups='failCgroupV1: false'
# The slices of 1.20's proxy are of a version that later servers don't know.
[ "$(minor kube-proxy)" -ge 21 ] || slices=--feature-gates=EndpointSliceProxying=false
node=$(hostname)
getent hosts "$node" >/dev/null || { echo "the machine's name $node leads nowhere: put it into /etc/hosts" >&2; exit 1; }
host=10.244.7.1
api=https://$host:$port
token=$(head -c 18 /dev/urandom | base64 | tr -d '+/')
[ -f sa.key ] || openssl genrsa -out sa.key 2048 2>/dev/null
# By it the API server is known to others that serve parts of its API (Kueue does).
[ -f front.key ] || openssl req -x509 -newkey rsa:2048 -nodes -keyout front.key -out front.crt -days 30 -subj /CN=front 2>/dev/null
(umask 077 && echo "$token,admin,admin,\"system:masters\"" >tokens.csv)
(umask 077 && cat >kubeconfig) <<CONFIG
apiVersion: v1
kind: Config
clusters: [{name: here, cluster: {server: "$api", certificate-authority: $dir/certs/apiserver.crt}}]
users: [{name: admin, user: {token: $token}}]
contexts: [{name: here, context: {cluster: here, user: admin}}]
current-context: here
CONFIG
cat >containerd/config.toml <<CONFIG
version = 2
root = "$dir/containerd/root"
state = "$dir/containerd/state"
[grpc]
  address = "$dir/containerd/sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/pause:1"
  restrict_oom_score_adj = true
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "$dir/containerd/cni"
CONFIG
cat >containerd/cni/10-bridge.conflist <<CONFIG
{"cniVersion": "0.4.0", "name": "tunegate", "plugins": [{"type": "bridge", "bridge": "tunegate-k8s", "isGateway": true, "ipMasq": false,
 "ipam": {"type": "host-local", "dataDir": "$dir/containerd/ipam", "ranges": [[{"subnet": "10.244.7.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}]}}]}
CONFIG
cat >kubelet.yaml <<CONFIG
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: 127.0.0.1
port: $((port + 2))
readOnlyPort: 0
healthzPort: 0
cgroupDriver: cgroupfs
failSwapOn: false
enforceNodeAllocatable: []
evictionHard: {}
oomScoreAdj: 0
nodeStatusUpdateFrequency: 2s
clusterDNS: [$host]
clusterDomain: cluster.local
authentication: {anonymous: {enabled: true}, webhook: {enabled: false}}
authorization: {mode: AlwaysAllow}
${cgroups:-}
CONFIG

run() { # NAME COMMAND...
    setsid "${@:2}" </dev/null >"log/$1.log" 2>&1 &
    echo $! >"$1.pid"
}
ask() { curl -sk -m 5 -H "Authorization: Bearer $token" "$api$1"; }

# The bridge's address is served at before the first pod makes it.
ip link add tunegate-k8s type bridge 2>/dev/null || true
ip address replace $host/24 dev tunegate-k8s
ip link set tunegate-k8s up

run containerd containerd -c containerd/config.toml
run etcd etcd --data-dir etcd --listen-client-urls "http://127.0.0.1:$((port + 1))" --advertise-client-urls "http://127.0.0.1:$((port + 1))" \
    --listen-peer-urls http://127.0.0.1:0 --unsafe-no-fsync
run apiserver "$bin/kube-apiserver" --etcd-servers="http://127.0.0.1:$((port + 1))" --bind-address=$host \
    --advertise-address=$host --secure-port="$port" --cert-dir=certs --token-auth-file=tokens.csv \
    --service-account-issuer="$api" --service-account-signing-key-file=sa.key --service-account-key-file=sa.key \
    --service-cluster-ip-range=10.0.0.0/24 --authorization-mode=RBAC --allow-privileged=true \
    --requestheader-client-ca-file=front.crt --proxy-client-cert-file=front.crt --proxy-client-key-file=front.key \
    --requestheader-username-headers=X-Remote-User --requestheader-group-headers=X-Remote-Group \
    --requestheader-extra-headers-prefix=X-Remote-Extra-
for _ in $(seq 240); do [ "$(ask /readyz 2>/dev/null)" = ok ] && break; sleep 0.25; done
[ "$(ask /readyz)" = ok ] || { tail -n 20 log/apiserver.log >&2; exit 1; }
run controllers "$bin/kube-controller-manager" --kubeconfig=kubeconfig --secure-port=0 ${insecure:-} --leader-elect=false \
    --service-account-private-key-file=sa.key --root-ca-file=certs/apiserver.crt \
    --controllers='*,-nodeipam,-route,-service,-cloud-node-lifecycle'
run scheduler "$bin/kube-scheduler" --kubeconfig=kubeconfig --secure-port=0 ${insecure:-} --leader-elect=false

# Replies come back by the machine: pods are on one bridge, where nobody would undo what the proxy did to an address.
run proxy "$bin/kube-proxy" --kubeconfig=kubeconfig --hostname-override="$node" --proxy-mode=iptables --masquerade-all \
    --conntrack-max-per-core=0 ${slices:-} --healthz-bind-address=127.0.0.1:$((port + 3)) --metrics-bind-address=127.0.0.1:$((port + 4))
touch hosts
run dnsmasq dnsmasq --no-daemon --user=root --listen-address=$host --bind-interfaces --no-resolv --no-hosts --addn-hosts="$dir/hosts" \
    --address=/#/
run names "$here/names.sh" "$api" tokens.csv hosts dnsmasq.pid

# The sandbox of a pod needs a program that waits.
pause=$(mktemp -d)
cp "$(command -v busybox)" "$pause/busybox"
cat >"$pause/config.json" <<CONFIG
{"architecture": "amd64", "os": "linux", "config": {"Entrypoint": ["/busybox", "sleep", "2147483647"]},
 "rootfs": {"type": "layers", "diff_ids": ["sha256:LAYER"]}}
CONFIG
tar -C "$pause" -cf "$pause/layer.tar" busybox
sed -i "s/LAYER/$(sha256sum "$pause/layer.tar" | cut -d' ' -f1)/" "$pause/config.json"
echo '[{"Config": "config.json", "RepoTags": ["localhost/pause:1"], "Layers": ["layer.tar"]}]' >"$pause/manifest.json"
tar -C "$pause" -cf pause.tar manifest.json config.json layer.tar
rm -rf "$pause"
for _ in $(seq 80); do [ -S containerd/sock ] && ctr -a containerd/sock version >/dev/null 2>&1 && break; sleep 0.25; done
for image in pause.tar "${images[@]}"; do ctr -a containerd/sock -n k8s.io images import "$image" >/dev/null; done

run kubelet "$bin/kubelet" --kubeconfig=kubeconfig --config=kubelet.yaml --root-dir="$dir/kubelet" --cert-dir="$dir/kubelet/pki" \
    ${runtime:-} --container-runtime-endpoint="unix://$dir/containerd/sock" --hostname-override="$node"
is_ready() { ask "/api/v1/nodes/$node" | tr -d ' \n' | grep -q '"reason":"KubeletReady"' && ! ask "/api/v1/nodes/$node" | grep -q '"taints"'; }
for _ in $(seq 240); do is_ready && break; sleep 0.25; done
is_ready || { tail -n 20 log/kubelet.log >&2; exit 1; }
curl -sk -o /dev/null -X PATCH -H "Authorization: Bearer $token" -H 'Content-Type: application/json-patch+json' \
    "$api/api/v1/nodes/$node/status" -d '[{"op": "add", "path": "/status/capacity/nvidia.com~1gpu", "value": "2"}]'
for _ in $(seq 80); do ask /api/v1/namespaces/default/serviceaccounts/default | grep -q '"uid"' && break; sleep 0.25; done
cat >engine.env <<ENV
TUNEGATE_TEST_KUBECONFIG=$dir/kubeconfig
TUNEGATE_TEST_HOST=$host
TUNEGATE_TEST_KUBERNETES=$(version kube-apiserver)
TUNEGATE_TEST_CONTAINERD=$dir/containerd/sock
ENV
echo "Kubernetes $(version kube-apiserver) is up: $dir/kubeconfig"
