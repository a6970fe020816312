{{- define "tunegate.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end }}

{{- define "tunegate.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- $name := include "tunegate.name" . -}}
{{- ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end }}

{{/* What never changes: selectors are immutable. */}}
{{- define "tunegate.selector" -}}
app.kubernetes.io/name: {{ include "tunegate.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "tunegate.labels" -}}
{{ include "tunegate.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "tunegate.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}
{{- end -}}
{{- end }}

{{- define "tunegate.serviceAccount" -}}
{{- default (ternary (include "tunegate.fullname" .) "default" .Values.serviceAccount.create) .Values.serviceAccount.name -}}
{{- end }}

{{- define "tunegate.runs.namespace" -}}
{{- default .Release.Namespace .Values.runs.namespace -}}
{{- end }}

{{- define "tunegate.runs.serviceAccount" -}}
{{- default (printf "%s-trainer" (include "tunegate.fullname" .)) .Values.runs.serviceAccount.name -}}
{{- end }}

{{- define "tunegate.auth.secret" -}}
{{- default (printf "%s-auth" (include "tunegate.fullname" .)) .Values.auth.existingSecret -}}
{{- end }}

{{- define "tunegate.keys.secret" -}}
{{- default (printf "%s-keys" (include "tunegate.fullname" .)) .Values.keys.existingSecret -}}
{{- end }}

{{- define "tunegate.database.secret" -}}
{{- if eq .Values.database.kind "bundled" -}}
{{- printf "%s-postgresql" (include "tunegate.fullname" .) -}}
{{- else -}}
{{- .Values.database.external.existingSecret -}}
{{- end -}}
{{- end }}

{{- define "tunegate.publicUrl" -}}
{{- default (printf "http://%s.%s.svc:%v" (include "tunegate.fullname" .) .Release.Namespace .Values.service.port) .Values.publicUrl -}}
{{- end }}

{{- define "tunegate.toml.key" -}}
{{- ternary . (toJson .) (regexMatch "^[A-Za-z0-9_-]+$" .) -}}
{{- end }}

{{/* A value in TOML: JSON's scalars and lists are TOML's too; tables within lists are written in one line. */}}
{{- define "tunegate.toml.value" -}}
{{- if kindIs "map" . -}}
{ {{- $first := true -}}
{{- range $key, $value := . -}}
{{- if not $first }}, {{ end -}}{{- $first = false -}}
{{ include "tunegate.toml.key" $key }} = {{ include "tunegate.toml.value" $value }}
{{- end -}} }
{{- else if kindIs "slice" . -}}
[ {{- range $index, $value := . -}}
{{- if $index }}, {{ end -}}{{ include "tunegate.toml.value" $value }}
{{- end -}} ]
{{- else -}}
{{ toJson . }}
{{- end -}}
{{- end }}

{{/* A table in TOML: plain values first, then the tables in it. */}}
{{- define "tunegate.toml.table" -}}
{{- $path := .path -}}
{{- range $key, $value := .table -}}
{{- if not (or (kindIs "map" $value) (kindIs "invalid" $value)) }}
{{ include "tunegate.toml.key" $key }} = {{ include "tunegate.toml.value" $value }}
{{- end }}
{{- end }}
{{- range $key, $value := .table }}
{{- if kindIs "map" $value }}
{{- $name := include "tunegate.toml.key" $key }}
{{- $below := ternary $name (printf "%s.%s" $path $name) (eq $path "") }}

[{{ $below }}]
{{- include "tunegate.toml.table" (dict "path" $below "table" $value) }}
{{- end }}
{{- end }}
{{- end }}

{{/* The settings: what is given, over what the chart knows. */}}
{{- define "tunegate.config" -}}
{{- $hosts := concat .Values.ingress.hosts .Values.gatewayApi.hostnames (list (include "tunegate.fullname" .) (printf "%s.%s" (include "tunegate.fullname" .) .Release.Namespace) (printf "%s.%s.svc" (include "tunegate.fullname" .) .Release.Namespace)) -}}
{{- $server := dict "host" "0.0.0.0" "port" 8080 "public_url" (include "tunegate.publicUrl" .) "allowed_hosts" $hosts -}}
{{- $known := dict "state_dir" "/var/lib/tunegate" "server" $server "trainer" (dict "image" .Values.runs.image) -}}
{{- if not (include "tunegate.keysInState" .) -}}
{{- $_ := set $known "key_file" "/etc/tunegate/keys/tunegate.key" -}}
{{- end -}}
{{- if ne .Values.runs.launcher "none" -}}
{{- $launcher := dict "namespace" (include "tunegate.runs.namespace" .) "instance" (include "tunegate.fullname" .) -}}
{{- if .Values.runs.serviceAccount.create -}}{{- $_ := set $launcher "service_account" (include "tunegate.runs.serviceAccount" .) -}}{{- end -}}
{{- if .Values.imagePullSecrets -}}{{- $_ := set $launcher "image_pull_secrets" .Values.imagePullSecrets -}}{{- end -}}
{{- if .Values.runs.kueue.queue -}}{{- $_ := set $launcher "queue" .Values.runs.kueue.queue -}}{{- end -}}
{{- $launcher = mergeOverwrite $launcher (deepCopy .Values.runs.settings) -}}
{{- $_ := set $known "launchers" (dict .Values.runs.launcher $launcher) -}}
{{- end -}}
{{- $all := mergeOverwrite $known (deepCopy .Values.config) -}}
{{- include "tunegate.toml.table" (dict "path" "" "table" $all) | trim }}
{{- end }}

{{/* The volume of state_dir: of the one gateway, or shared by all. */}}
{{- define "tunegate.stateOnVolume" -}}
{{- if and .Values.persistence.enabled (or (eq .Values.database.kind "sqlite") (has "ReadWriteMany" .Values.persistence.accessModes)) -}}true{{- end -}}
{{- end }}

{{/* One gateway with a volume may keep its key file there; several need the same one from a Secret. */}}
{{- define "tunegate.keysInState" -}}
{{- if and (eq .Values.database.kind "sqlite") .Values.persistence.enabled (not .Values.keys.existingSecret) -}}true{{- end -}}
{{- end }}

{{/* What can't work is said before anything is made. */}}
{{- define "tunegate.check" -}}
{{- if and (eq .Values.database.kind "sqlite") (gt (int .Values.replicas) 1) -}}
{{- fail "replicas: several gateways need PostgreSQL; set database.kind to bundled or external" -}}
{{- end -}}
{{- if and (eq .Values.database.kind "sqlite") (not .Values.persistence.enabled) -}}
{{- fail "persistence.enabled: SQLite needs a volume; without one every restart would forget all jobs" -}}
{{- end -}}
{{- if and (eq .Values.database.kind "external") (not .Values.database.external.existingSecret) -}}
{{- fail "database.external.existingSecret: name the Secret that holds the URL of the database" -}}
{{- end -}}
{{- if le (int .Values.terminationGracePeriodSeconds) (int .Values.drainSeconds) -}}
{{- fail "terminationGracePeriodSeconds: must be longer than drainSeconds" -}}
{{- end -}}
{{- if and .Values.ingress.enabled (not .Values.ingress.hosts) -}}
{{- fail "ingress.hosts: name at least one host; requests for others are refused" -}}
{{- end -}}
{{- if and .Values.gatewayApi.enabled (not .Values.gatewayApi.parentRefs) -}}
{{- fail "gatewayApi.parentRefs: name the Gateway" -}}
{{- end -}}
{{- end }}

{{/* Restricted, as the Pod Security Standards mean it. */}}
{{- define "tunegate.podSecurity" -}}
runAsNonRoot: true
runAsUser: {{ .user }}
runAsGroup: {{ .user }}
fsGroup: {{ .user }}
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "tunegate.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{/* Variables of every process of the gateway. */}}
{{- define "tunegate.env" -}}
- name: TUNEGATE_CONFIG
  value: /etc/tunegate/gateway.toml
- name: TRAINER_API_TOKEN
  valueFrom:
    secretKeyRef: {name: {{ include "tunegate.auth.secret" . }}, key: {{ .Values.auth.key }}}
{{- if ne .Values.database.kind "sqlite" }}
- name: TUNEGATE_DATABASE_URL
  valueFrom:
    secretKeyRef: {name: {{ include "tunegate.database.secret" . }}, key: {{ ternary "url" .Values.database.external.key (eq .Values.database.kind "bundled") }}}
{{- end }}
{{- if .Values.plugins.packages }}
- name: PYTHONPATH
  value: /plugins/site
{{- end }}
{{- end }}

{{- define "tunegate.volumes" -}}
- name: config
  configMap: {name: {{ include "tunegate.fullname" . }}}
{{- if not (include "tunegate.keysInState" .) }}
- name: keys
  secret:
    secretName: {{ include "tunegate.keys.secret" . }}
    defaultMode: 0440
    items: [{key: {{ .Values.keys.key }}, path: tunegate.key}]
{{- end }}
- name: state
  {{- if include "tunegate.stateOnVolume" . }}
  persistentVolumeClaim: {claimName: {{ default (include "tunegate.fullname" .) .Values.persistence.existingClaim }}}
  {{- else }}
  emptyDir: {}
  {{- end }}
- name: tmp
  emptyDir: {sizeLimit: 256Mi}
{{- if .Values.plugins.packages }}
- name: plugins
  emptyDir: {sizeLimit: 2Gi}
{{- end }}
{{- end }}

{{- define "tunegate.mounts" -}}
- {name: config, mountPath: /etc/tunegate/gateway.toml, subPath: gateway.toml, readOnly: true}
{{- if not (include "tunegate.keysInState" .) }}
- {name: keys, mountPath: /etc/tunegate/keys, readOnly: true}
{{- end }}
- {name: state, mountPath: /var/lib/tunegate}
- {name: tmp, mountPath: /tmp}
{{- if .Values.plugins.packages }}
- {name: plugins, mountPath: /plugins, readOnly: true}
{{- end }}
{{- end }}
