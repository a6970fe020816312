#!/bin/bash
# Stops what up.sh started below DIR, with the containers that are left, and takes its network and mounts away.   usage: down.sh DIR
set -u
dir=$(readlink -f "${1:?DIR}") || exit 0
end() { [ -s "$dir/$1.pid" ] && kill "-${2:-TERM}" "$(cat "$dir/$1.pid")" 2>/dev/null; rm -f "$dir/$1.pid"; }
end kubelet
tasks() { timeout 10 ctr -a "$dir/containerd/sock" -n k8s.io "$@" 2>/dev/null; }
if [ -S "$dir/containerd/sock" ]; then
    for task in $(tasks tasks ls -q); do tasks tasks kill -s KILL "$task"; done
    sleep 1
    for one in $(tasks containers ls -q); do tasks tasks rm -f "$one"; tasks containers rm "$one"; done
fi
for name in names dnsmasq proxy scheduler controllers apiserver etcd containerd; do end $name KILL; done # the API server is slow to leave
sleep 0.5
for table in nat filter mangle; do iptables-save -t $table | grep -v KUBE- | iptables-restore -T $table; done 2>/dev/null
for name in $(ls /run/netns 2>/dev/null | grep '^cni-'); do ip netns del "$name"; done
ip link del tunegate-k8s 2>/dev/null
awk -v dir="$dir/" 'index($2, dir) == 1 { print $2 }' /proc/mounts | sort -r | while read -r mount; do umount -l "$mount"; done
exit 0
