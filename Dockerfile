# Image of the controller. Targets: run (the default), dev (live reload, for docker-compose.yml) and sbom (a software
# bill of materials in CycloneDX format). Every pinned package has wheels for amd64 and arm64, so nothing is compiled.
ARG PYTHON_IMAGE=python:3.12-slim

FROM ${PYTHON_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ONLY_BINARY=:all: PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
COPY requirements/run.txt requirements/build.txt requirements/
RUN python -m venv /opt/build
RUN /opt/build/bin/pip install --no-compile --require-hashes --requirement requirements/build.txt
RUN python -m venv --without-pip /opt/gco-stream
RUN /opt/build/bin/pip --python /opt/gco-stream/bin/python install --no-compile --require-hashes --requirement requirements/run.txt
COPY pyproject.toml README.md LICENSE ./
COPY tools/controlplane tools/controlplane
COPY gco_stream gco_stream
RUN /opt/build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /src/dist /src
RUN /opt/build/bin/pip --python /opt/gco-stream/bin/python install --no-compile --no-deps --no-index --find-links /src/dist gco-stream
RUN /opt/gco-stream/bin/python -m compileall -q -j 0 /opt/gco-stream/lib

FROM ${PYTHON_IMAGE} AS sbom-build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ONLY_BINARY=:all: PIP_ROOT_USER_ACTION=ignore
WORKDIR /sbom
COPY requirements/sbom.txt requirements/
COPY pyproject.toml ./
RUN python -m venv /opt/sbom
RUN /opt/sbom/bin/pip install --no-compile --require-hashes --requirement requirements/sbom.txt
COPY --from=build /opt/gco-stream /opt/gco-stream
RUN /opt/sbom/bin/cyclonedx-py environment /opt/gco-stream/bin/python --pyproject pyproject.toml --mc-type application --output-reproducible --output-file /sbom/gco-stream.cdx.json

FROM scratch AS sbom
COPY --from=sbom-build /sbom/gco-stream.cdx.json /

FROM ${PYTHON_IMAGE} AS dev
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ONLY_BINARY=:all: PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
COPY requirements/run.txt requirements/compose.txt requirements/
RUN python -m venv /opt/dev
RUN /opt/dev/bin/pip install --require-hashes --requirement requirements/run.txt
RUN /opt/dev/bin/pip install --require-hashes --requirement requirements/compose.txt
ENV PATH=/opt/dev/bin:$PATH PYTHONPATH=/src PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HTTP_PORT=8080
USER 65532:65532
CMD ["/opt/dev/bin/python", "/src/dev/controller.py"]

FROM ${PYTHON_IMAGE} AS run
ARG VERSION=dev
ARG REVISION=unknown
LABEL org.opencontainers.image.title="gco-stream" \
      org.opencontainers.image.description="Serves AI inference endpoints on EKS from one DynamoDB table, driven by DynamoDB Streams" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /opt/gco-stream /opt/gco-stream
ENV PATH=/opt/gco-stream/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HTTP_PORT=8080 LOG_FORMAT=json
# A numeric user, so that Kubernetes can verify runAsNonRoot.
USER 65532:65532
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["/opt/gco-stream/bin/python", "-c", "import os, urllib.request; urllib.request.urlopen('http://127.0.0.1:' + os.environ['HTTP_PORT'] + '/healthz', timeout=4)"]
ENTRYPOINT ["/opt/gco-stream/bin/gco-stream"]
CMD ["run"]
