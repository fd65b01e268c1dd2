{{- define "gco-stream.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "gco-stream.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else if contains (include "gco-stream.name" .) .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "gco-stream.name" .) | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* Labels of all pods of this release: the controller's and the doctor's. */}}
{{- define "gco-stream.instanceLabels" -}}
app.kubernetes.io/name: {{ include "gco-stream.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* Labels of the controller's pods only. They must not change: a Deployment's selector is immutable. */}}
{{- define "gco-stream.selectorLabels" -}}
{{ include "gco-stream.instanceLabels" . }}
app.kubernetes.io/component: controller
{{- end -}}

{{/* Labels for chart and release. They are not set on pods, because each new chart version would restart them. */}}
{{- define "gco-stream.commonLabels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "gco-stream.labels" -}}
{{ include "gco-stream.selectorLabels" . }}
{{ include "gco-stream.commonLabels" . }}
{{- end -}}

{{- define "gco-stream.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "gco-stream.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- required "serviceAccount.name: required but not set: must name an existing service account if serviceAccount.create is false" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "gco-stream.image" -}}
{{- $image := .Values.image.repository -}}
{{- with .Values.image.registry }}{{ $image = printf "%s/%s" . $image }}{{ end -}}
{{- with .Values.image.digest -}}
{{- printf "%s@%s" $image . -}}
{{- else -}}
{{- printf "%s:%s" $image (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end -}}

{{/* JSON list of the endpoint namespaces without duplicates, INFERENCE_NAMESPACE first. */}}
{{- define "gco-stream.namespaces" -}}
{{- prepend (.Values.settings.ALLOWED_NAMESPACES | default list) .Values.settings.INFERENCE_NAMESPACE | uniq | toJson -}}
{{- end -}}

{{/* Environment variables for all settings that have a value. Lists are comma-separated. */}}
{{- define "gco-stream.env" -}}
{{- $env := list -}}
{{- range $name, $value := .Values.settings -}}
{{- if kindIs "slice" $value }}{{ $value = join "," $value }}{{ end -}}
{{- if not (or (kindIs "invalid" $value) (eq (toString $value) "")) -}}
{{- $env = append $env (dict "name" $name "value" (kindIs "string" $value | ternary $value (toJson $value))) -}}
{{- end -}}
{{- end -}}
{{- concat $env .Values.extraEnv | toYaml -}}
{{- end -}}

{{/* The part of the pod spec that the controller and the doctor share. */}}
{{- define "gco-stream.podSpec" -}}
serviceAccountName: {{ include "gco-stream.serviceAccountName" . }}
automountServiceAccountToken: true
enableServiceLinks: false
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  {{- toYaml .Values.podSecurityContext | nindent 2 }}
{{- with .Values.dnsPolicy }}
dnsPolicy: {{ . }}
{{- end }}
{{- with .Values.dnsConfig }}
dnsConfig:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.extraVolumes }}
volumes:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* The part of the container that the controller and the doctor share. */}}
{{- define "gco-stream.container" -}}
image: {{ include "gco-stream.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
command: [gco-stream]
env:
  {{- include "gco-stream.env" . | nindent 2 }}
{{- with .Values.extraEnvFrom }}
envFrom:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  {{- toYaml .Values.securityContext | nindent 2 }}
{{- with .Values.extraVolumeMounts }}
volumeMounts:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}
