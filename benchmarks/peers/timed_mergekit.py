"""``mergekit-yaml`` that tells what the work took once everything was imported.

Usage: as the program itself, in an interpreter that has mergekit. The last line of the
output is JSON.
"""

from __future__ import annotations

import json
import time

import torch  # noqa: F401 - imported before the clock starts
import transformers
from mergekit.scripts.run_yaml import main  # type: ignore[import-not-found]

# Imported lazily by transformers otherwise, and so in the middle of the work.
transformers.AutoConfig, transformers.AutoTokenizer, transformers.PreTrainedModel  # noqa: B018

cpu, wall = time.process_time(), time.perf_counter()
main(standalone_mode=False)
took = {"engine_cpu": time.process_time() - cpu, "engine_wall": time.perf_counter() - wall}
print(f"\n{json.dumps(took)}")
