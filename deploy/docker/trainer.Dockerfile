# The trainer, for every launcher that runs images.   docker build -f deploy/docker/trainer.Dockerfile -t tunegate/trainer .
# For machines without GPUs: --build-arg BASE=python:3.12-slim --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cpu
ARG BASE=nvidia/cuda:12.8.1-base-ubuntu24.04
# An image with wheels to install from besides the package index.
ARG WHEELS=scratch
FROM ${WHEELS} AS wheels

# hadolint ignore=DL3006
FROM ${BASE} AS python
# Triton compiles its kernels' entry points with the machine's C compiler; a base for CPUs may do without.
ARG COMPILER=gcc
# hadolint ignore=DL3008,SC2086
RUN if ! python3 -c 'import ensurepip, venv' 2>/dev/null || { [ -n "${COMPILER}" ] && ! command -v "${COMPILER}" >/dev/null; }; then \
        apt-get update && \
        apt-get install -y --no-install-recommends ca-certificates python3 python3-dev python3-venv ${COMPILER} && \
        rm -rf /var/lib/apt/lists/*; \
    fi

FROM python AS build
ARG TORCH_INDEX=https://download.pytorch.org/whl/cu128
ARG EXTRAS=trainer,otel,trackers
WORKDIR /build
RUN python3 -m venv /opt/tunegate
COPY config/constraints.txt config/
# Optional secrets: `pip` is a pip.conf (a private index), `ca` the certificates that it needs.
# torch lies in a layer of its own, below what changes with every release.
# hadolint ignore=DL3042
RUN --mount=type=secret,id=pip,target=/etc/pip.conf --mount=type=secret,id=ca,target=/run/secrets/ca \
    --mount=type=bind,from=wheels,target=/wheels --mount=type=cache,target=/root/.cache/pip \
    /opt/tunegate/bin/pip install --no-compile --disable-pip-version-check \
        --find-links /wheels ${TORCH_INDEX:+--extra-index-url ${TORCH_INDEX}} -c config/constraints.txt torch numpy
COPY LICENSE README.md pyproject.toml ./
COPY src src
COPY plugins/echo plugins/echo
# hadolint ignore=DL3042
RUN --mount=type=secret,id=pip,target=/etc/pip.conf --mount=type=secret,id=ca,target=/run/secrets/ca \
    --mount=type=bind,from=wheels,target=/wheels --mount=type=cache,target=/root/.cache/pip \
    /opt/tunegate/bin/pip install --no-compile --disable-pip-version-check \
        --find-links /wheels -c config/constraints.txt ".[${EXTRAS}]" ./plugins/echo

FROM python
ARG VERSION=0.1.0 REVISION=unknown
LABEL org.opencontainers.image.title="tunegate trainer" \
      org.opencontainers.image.description="The shared trainer: transformers, peft, bitsandbytes" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# The last two are for NVIDIA's container runtime.
ENV PATH=/opt/tunegate/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
COPY --from=build /opt/tunegate /opt/tunegate
COPY LICENSE /usr/share/licenses/tunegate/
USER 10001:10001
# Launchers mount a disk here; without one the run's own layer serves.
WORKDIR /tunegate/work
STOPSIGNAL SIGTERM
CMD ["python", "-m", "tunegate.trainer", "--help"]
