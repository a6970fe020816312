# The gateway: no torch, no compiler, no root.   docker build -f deploy/docker/gateway.Dockerfile -t tunegate/gateway .
# It writes below /var/lib/tunegate and /tmp alone, so that it runs with a read-only root and volumes there.
ARG BASE=python:3.12-slim
# An image with wheels to install from besides the package index.
ARG WHEELS=scratch
FROM ${WHEELS} AS wheels

# hadolint ignore=DL3006
FROM ${BASE} AS build
ARG EXTRAS=gateway,postgres,kubernetes,sagemaker,slurm,container,otel
WORKDIR /build
# Wheels come with their symbols: strip takes them off, where the base can fetch it.
# hadolint ignore=DL3008
RUN command -v strip >/dev/null || { apt-get update && apt-get install -y --no-install-recommends binutils; } || true
# pip stays: the chart installs plugins with it.
RUN python3 -m venv /opt/tunegate
COPY config/constraints.txt config/
COPY LICENSE README.md pyproject.toml ./
COPY src src
COPY plugins plugins
# Optional secrets: `pip` is a pip.conf (a private index), `ca` the certificates that it needs.
# hadolint ignore=DL3042
RUN --mount=type=secret,id=pip,target=/etc/pip.conf --mount=type=secret,id=ca,target=/run/secrets/ca \
    --mount=type=bind,from=wheels,target=/wheels --mount=type=cache,target=/root/.cache/pip \
    /opt/tunegate/bin/pip install --no-compile --disable-pip-version-check \
        --find-links /wheels -c config/constraints.txt ".[${EXTRAS}]" ./plugins/*/ && \
    { /opt/tunegate/bin/pip uninstall -q -y setuptools || true; } && \
    find /opt/tunegate -depth \( -name __pycache__ -o -name tests -path '*/site-packages/*' \) -exec rm -rf {} + && \
    find /opt/tunegate -name '*.so*' -size +64k -exec sh -c 'command -v strip >/dev/null && strip --strip-unneeded "$1"; :' _ {} \; && \
    install -d -o 10001 -g 10001 -m 700 /var/lib/tunegate

# hadolint ignore=DL3006
FROM ${BASE}
ARG VERSION=0.1.0 REVISION=unknown
LABEL org.opencontainers.image.title="tunegate gateway" \
      org.opencontainers.image.description="One async gateway for fine-tuning language models" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
ENV PATH=/opt/tunegate/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    HOME=/var/lib/tunegate TUNEGATE_STATE_DIR=/var/lib/tunegate TUNEGATE_SERVER__HOST=0.0.0.0
COPY --from=build /opt/tunegate /opt/tunegate
COPY --from=build --chown=10001:10001 /var/lib/tunegate /var/lib/tunegate
COPY LICENSE /usr/share/licenses/tunegate/
USER 10001:10001
WORKDIR /var/lib/tunegate
VOLUME /var/lib/tunegate
EXPOSE 8080
# Kubernetes asks /healthz and /readyz itself; this is for engines that don't.
HEALTHCHECK --interval=15s --timeout=5s --start-period=20s \
    CMD ["python3", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8080/healthz', timeout=4)"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["tunegate"]
CMD ["serve"]
