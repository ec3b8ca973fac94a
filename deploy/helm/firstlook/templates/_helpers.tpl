{{- define "firstlook.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 50 | trimSuffix "-" }}
{{- end }}

{{- define "firstlook.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" }}
{{- else if contains (include "firstlook.name" .) .Release.Name }}
{{- .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "firstlook.name" .) | trunc 50 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "firstlook.mcp.fullname" -}}
{{ include "firstlook.fullname" . }}-mcp
{{- end }}

{{- define "firstlook.selector" -}}
app.kubernetes.io/name: {{ include "firstlook.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: server
{{- end }}

{{- define "firstlook.mcp.selector" -}}
app.kubernetes.io/name: kubernetes-mcp-server
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: mcp-server
{{- end }}

{{- define "firstlook.common" -}}
app.kubernetes.io/part-of: firstlook
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "firstlook.labels" -}}
{{ include "firstlook.selector" . }}
{{ include "firstlook.common" . }}
app.kubernetes.io/version: {{ .Values.image.tag | default .Chart.AppVersion | quote }}
{{- end }}

{{- define "firstlook.mcp.labels" -}}
{{ include "firstlook.mcp.selector" . }}
{{ include "firstlook.common" . }}
app.kubernetes.io/version: {{ .Values.mcpServer.image.tag | quote }}
{{- end }}

{{- define "firstlook.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}
{{- .Values.serviceAccount.name | default (include "firstlook.fullname" .) }}
{{- else }}
{{- required "serviceAccount.name is needed when serviceAccount.create is false" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "firstlook.secret" -}}
{{- .Values.existingSecret | default (include "firstlook.fullname" .) }}
{{- end }}

{{- define "firstlook.claim" -}}
{{- .Values.store.sqlite.existingClaim | default (include "firstlook.fullname" .) }}
{{- end }}

{{/* Most bytes of the SQLite file: 70 % of the volume. Pruning by size has to begin before the disk is full, and the log
     beside the file, and what a commit needs for a moment, want room too. */}}
{{- define "firstlook.maxBytes" -}}
{{- $size := .Values.store.sqlite.size }}
{{- if not (regexMatch "^[1-9][0-9]{0,6}(Mi|Gi|Ti)$" $size) }}
{{- fail (printf "store.sqlite.size %q is no whole number of Mi, Gi or Ti, for example 5Gi: retention.max_bytes is derived from it. Write it so, or set config.retention.max_bytes (in bytes) to less than the volume" $size) }}
{{- end }}
{{- $unit := get (dict "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776) (regexFind "[A-Z]i$" $size) }}
{{- $bytes := div (mul (regexFind "^[0-9]+" $size | int64) $unit 7) 10 }}
{{- if lt $bytes 67108864 }}
{{- fail (printf "store.sqlite.size %q is too small: 70 %% of it must be at least 64Mi, so 92Mi or more" $size) }}
{{- end }}
{{- $bytes }}
{{- end }}

{{/* What the chart knows better than config: where to listen, where to keep, where to look. */}}
{{- define "firstlook.config" -}}
{{- $config := deepCopy .Values.config }}
{{- $_ := set $config "server" (merge (dict "listen" "0.0.0.0:8080") ($config.server | default dict)) }}
{{- $_ := set $config "store" (ternary "sqlite:/var/lib/firstlook/firstlook.db" "${FIRSTLOOK_DATABASE_URL}" (eq .Values.store.mode "sqlite")) }}
{{- $retention := $config.retention | default dict }}
{{- if hasKey $retention "max_bytes" }}
{{- /* Helm reads numbers as floats and would write a large one as 1.07e+10. */}}
{{- $_ := set $retention "max_bytes" (int64 $retention.max_bytes) }}
{{- else if eq .Values.store.mode "sqlite" }}
{{- $_ := set $retention "max_bytes" (include "firstlook.maxBytes" . | int64) }}
{{- end }}
{{- if $retention }}
{{- $_ := set $config "retention" $retention }}
{{- end }}
{{- if eq .Values.cluster.access "builtin" }}
{{- $_ := set $config "mcp" (list (dict "name" "kubernetes" "transport" "builtin")) }}
{{- else if eq .Values.cluster.access "mcp-server" }}
{{- $_ := set $config "mcp" (list (dict "name" "kubernetes" "url" (printf "http://%s:8080/mcp" (include "firstlook.mcp.fullname" .)))) }}
{{- end }}
{{- range $key := list "models" "routes" }}
{{- if not (get $config $key) }}
{{- $_ := unset $config $key }}
{{- end }}
{{- end }}
{{- toYaml $config }}
{{- end }}

{{/* Both containers run under the restricted Pod Security Standard. */}}
{{- define "firstlook.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
fsGroupChangePolicy: OnRootMismatch
seccompProfile: { type: RuntimeDefault }
{{- end }}

{{- define "firstlook.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: { drop: [ALL] }
{{- end }}

{{- define "firstlook.validate" -}}
{{- if and (eq .Values.store.mode "sqlite") (gt (int .Values.replicas) 1) }}
{{- fail "replicas > 1 needs store.mode=postgres: a SQLite file has one process" }}
{{- end }}
{{- if not .Values.config.channels }}
{{- fail "config.channels is empty: nobody would hear of an alert. Add one, for example {name: oncall, type: feishu-bot, url: \"${FEISHU_WEBHOOK}\"}" }}
{{- end }}
{{- if and (not .Values.existingSecret) (not .Values.secrets) }}
{{- fail "give secrets (at least FIRSTLOOK_TOKEN) or the name of existingSecret: the configuration takes its tokens from there" }}
{{- end }}
{{- if and (eq .Values.store.mode "postgres") (not .Values.existingSecret) (not .Values.secrets.FIRSTLOOK_DATABASE_URL) }}
{{- fail "store.mode=postgres needs secrets.FIRSTLOOK_DATABASE_URL (postgres://user:pass@host/db) or an existingSecret that holds it" }}
{{- end }}
{{- end }}
