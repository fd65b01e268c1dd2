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

{{/* What all pods of this release carry, the controller's and the doctor's. */}}
{{- define "gco-stream.instanceLabels" -}}
app.kubernetes.io/name: {{ include "gco-stream.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* What only the controller's pods carry. A Deployment's selector can never change, so neither may this. */}}
{{- define "gco-stream.selectorLabels" -}}
{{ include "gco-stream.instanceLabels" . }}
app.kubernetes.io/component: controller
{{- end -}}

{{/* What tells of chart and release; not on pods, which would all be new for a changed chart alone. */}}
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
{{- required "serviceAccount.name: not set; it must name the service account where serviceAccount.create is false" .Values.serviceAccount.name -}}
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

{{/* The namespaces that endpoints may live in, each once, the installation's own first, as a JSON list. */}}
{{- define "gco-stream.namespaces" -}}
{{- prepend (.Values.settings.ALLOWED_NAMESPACES | default list) .Values.settings.INFERENCE_NAMESPACE | uniq | toJson -}}
{{- end -}}

{{/* Every setting that has a value, by its name; lists as the program reads them. */}}
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

{{/* Where the pods of this release may run, and as what; beside the controller's own labels and spread. */}}
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

{{/* What the program needs wherever it runs. */}}
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
