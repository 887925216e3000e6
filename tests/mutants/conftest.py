import sys
from pathlib import Path

for ring in ("kernel", "world", "crash", "triggers"):
    sys.path.insert(0, str(Path(__file__).parents[1] / ring))
