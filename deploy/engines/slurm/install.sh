#!/bin/bash
# Debian's own Slurm; its packages start nothing where policy-rc.d forbids it, and we start our own.
set -eu
command -v slurmrestd >/dev/null && command -v munged >/dev/null && command -v slurmd >/dev/null && exit 0
apt-get update -qq
apt-get install -y -qq --no-install-recommends slurmctld slurmd slurm-client slurmrestd slurm-wlm-jwt-plugin \
    slurm-wlm-basic-plugins munge
