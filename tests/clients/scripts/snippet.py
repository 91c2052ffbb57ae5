"""Run the code of a documentation page, then `then`; print the JSON value of `outcome`."""

import json

from outcome import args

namespace: dict[str, object] = {"__name__": "snippet"}
exec(compile(args.code, "integrations.md", "exec"), namespace)
exec(compile(args.then, "then", "exec"), namespace)
print("\n" + json.dumps(namespace["outcome"]))
