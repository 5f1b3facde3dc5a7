{{- define "concordat.name" -}}
{{ .Release.Name | trunc 40 | trimSuffix "-" }}
{{- end }}

{{- define "concordat.labels" -}}
app.kubernetes.io/name: concordat
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "concordat.nodeLabels" -}}
app.kubernetes.io/name: concordat
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: node
{{- end }}

{{- define "concordat.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{/* Without the service's certificate nobody can join: then there is only the founder. */}}
{{- define "concordat.replicas" -}}
{{ if .Values.serviceCertificate }}{{ .Values.nodes }}{{ else }}1{{ end }}
{{- end }}

{{/* Where the others and clients find a node: (dict "root" $ "index" 0) */}}
{{- define "concordat.host" -}}
{{- $name := include "concordat.name" .root -}}
{{ printf "%s-%d.%s.%s.svc.%s" $name (int .index) $name .root.Release.Namespace .root.Values.clusterDomain }}
{{- end }}

{{/* The configuration of a node, as its own reader takes it. */}}
{{- define "concordat.nodeConfig" -}}
{{- $root := .root -}}
{{- $v := .root.Values -}}
{{- $host := include "concordat.host" . -}}
{{- $interfaces := dict
  "node_to_node_interface" (dict
    "bind_address" (printf "0.0.0.0:%d" (int $v.ports.nodes))
    "published_address" (printf "%s:%d" $host (int $v.ports.nodes)))
  "rpc_interfaces" (dict "primary_rpc_interface" (dict
    "bind_address" (printf "0.0.0.0:%d" (int $v.ports.clients))
    "published_address" (printf "%s:%d" $host (int $v.ports.clients))))
  "operator_interface" (dict "bind_address" (printf "0.0.0.0:%d" (int $v.ports.operator)))
-}}
{{- $command := dict -}}
{{- if eq (int .index) 0 -}}
{{- $members := list -}}
{{- range $at, $member := $v.members -}}
{{- $members = append $members (dict
  "certificate_file" (printf "member%d.pem" $at)
  "encryption_public_key_file" (printf "member%d_encryption.pem" $at)) -}}
{{- end -}}
{{- $command = dict
  "type" "Start"
  "service_certificate_file" "/var/lib/concordat/service_cert.pem"
  "start" (dict
    "members" $members
    "service_configuration" (dict "recovery_threshold" (int $v.recoveryThreshold))) -}}
{{- else -}}
{{- $first := include "concordat.host" (dict "root" $root "index" 0) -}}
{{- $command = dict
  "type" "Join"
  "service_certificate_file" "service_cert.pem"
  "join" (dict "target_rpc_address" (printf "%s:%d" $first (int $v.ports.clients))) -}}
{{- end -}}
{{- $own := dict "folder" "/var/lib/concordat/node" "network" $interfaces "command" $command -}}
{{- mustMergeOverwrite $own (deepCopy $v.settings) | toPrettyJson -}}
{{- end }}
