#!/bin/bash
# A small Kubernetes for this machine, out of Debian's own source package (v1.20.2, complete with its libraries): no other
# archive has the servers. As root; the build takes 7 minutes and 3 GB on the side, once.   usage: install.sh BINDIR
set -euo pipefail
bin=${1:?BINDIR}
export DEBIAN_FRONTEND=noninteractive
packages='etcd-server containerd runc containernetworking-plugins iptables dnsmasq-base iproute2 openssl curl jq busybox-static'
for package in $packages; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="${missing:-} $package"
done
if [ -n "${missing:-}" ]; then
    apt-get update -qq
    # shellcheck disable=SC2086  a list
    apt-get install -y -qq --no-install-recommends $missing
fi
[ -x "$bin/kubelet" ] && [ -x "$bin/kube-proxy" ] && exit 0

mkdir -p "$bin"
bin=$(readlink -f "$bin")
apt-get install -y -qq --no-install-recommends golang-go rsync golang-github-modern-go-reflect2-dev dpkg-dev
work=$(mktemp -d)
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT

# The archive that this machine uses already, with its sources, in a state of apt's own.
apt=$work/apt
mkdir -p "$apt"/etc/apt/{apt.conf.d,preferences.d,sources.list.d,trusted.gpg.d} "$apt"/var/lib/apt/lists/partial \
    "$apt"/var/cache/apt/archives/partial "$apt"/var/lib/dpkg "$work/home"
touch "$apt/var/lib/dpkg/status"
archive=$(awk '/^URIs:/ { print $2; exit } /^deb / { for (i = 2; i <= NF; i++) if ($i ~ /^http/) { print $i; exit } }' \
    /etc/apt/sources.list.d/*.sources /etc/apt/sources.list.d/*.list /etc/apt/sources.list 2>/dev/null | head -1)
echo "deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $archive bookworm main" >"$apt/etc/apt/sources.list"
own=(-o "Dir=$apt" -o "Dir::State::status=$apt/var/lib/dpkg/status")
apt-get "${own[@]}" -qq update
cd "$work"
apt-get "${own[@]}" -qq source --download-only kubernetes
dpkg-source -x --no-check kubernetes_*.dsc kubernetes >/dev/null
cd kubernetes

# The bundled reflect2 1.0.1 breaks the API server when Go is 1.18 or newer; Debian packages 1.0.2.
bundled=vendor/github.com/modern-go/reflect2
rm -f $bundled/*.go $bundled/*.s
cp /usr/share/gocode/src/github.com/modern-go/reflect2/*.{go,s} $bundled/
mkdir -p .go/src/k8s.io
ln -sfn ../../.. .go/src/k8s.io/kubernetes
export GOPATH=$PWD/.go HOME=$work/home CGO_ENABLED=0 GO111MODULE=off GOPROXY=off GOLDFLAGS='-s -w'
export KUBE_GIT_TREE_STATE=archive KUBE_GIT_VERSION=v1.20.2 KUBE_GIT_MAJOR=1 KUBE_GIT_MINOR=20 KUBE_GIT_COMMIT=debian
make WHAT='cmd/kube-apiserver cmd/kube-controller-manager cmd/kube-scheduler cmd/kube-proxy cmd/kubelet' >"$work/log" 2>&1 ||
    { tail "$work/log"; exit 1; }
cp _output/bin/kube{-apiserver,-controller-manager,-scheduler,-proxy,let} "$bin/"
