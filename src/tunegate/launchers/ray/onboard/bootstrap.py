import json
import sys

import ray  # pyright: ignore[reportMissingImports]
from ray.experimental import internal_kv as kv  # pyright: ignore[reportMissingImports]

ray.init(namespace="tunegate", log_to_driver=False, logging_level="error")
key, absent = sys.argv[1:]
parcel = kv._internal_kv_get(key)
kv._internal_kv_del(key)
parcel = json.loads(parcel or b"null") or sys.exit(int(absent))
exec(parcel.pop("source"))
