#!/bin/bash
# The names of a small cluster, for dnsmasq: its services (headless ones by their pods), and the pods that have a hostname in
# one. Looks again every half second, and tells dnsmasq of changes.   usage: names.sh API_URL TOKENS.csv HOSTS_FILE PID_FILE
set -uo pipefail
api=${1:?API_URL} token=$(cut -d, -f1 "${2:?TOKENS.csv}") hosts=${3:?HOSTS_FILE} pid=${4:?PID_FILE}
items() { curl -sk -m 5 -H "Authorization: Bearer $token" "$api/api/v1/$1" | jq -r ".items[] | $2"; }
of_services='select(.spec.clusterIP | IN("", "None", null) | not) | "\(.spec.clusterIP) \(.metadata.name).\(.metadata.namespace)"'
of_headless='select(.metadata.labels["service.kubernetes.io/headless"] != null)
    | "\(.subsets[]?.addresses[]?.ip) \(.metadata.name).\(.metadata.namespace)"'
of_pods='select(.status.podIP and .spec.hostname and .spec.subdomain)
    | "\(.status.podIP) \(.spec.hostname).\(.spec.subdomain).\(.metadata.namespace)"'
while sleep 0.5; do
    services=$(items services "$of_services") && headless=$(items endpoints "$of_headless") &&
        pods=$(items pods "$of_pods") || continue
    printf '%s\n' "$services" "$headless" "$pods" | sed -n 's/.\+/&.svc.cluster.local/p' | sort >"$hosts.new"
    cmp -s "$hosts.new" "$hosts" && continue
    cat "$hosts.new" >"$hosts"
    kill -HUP "$(cat "$pid")"
done
