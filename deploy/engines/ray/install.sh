#!/bin/bash
# Ray, in an environment of its own: the gateway needs none of it.   usage: install.sh VENV [VERSION]
set -eu
venv=${1:?VENV} version=${2:-2.60.0}
[ "$("$venv/bin/python" -c 'import ray; print(ray.__version__)' 2>/dev/null)" = "$version" ] && exit 0
"${PYTHON:-python3}" -m venv "$venv"
"$venv/bin/pip" install -q "ray[default]==$version"
