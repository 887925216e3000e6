import sys
from pathlib import Path

for ring in ("kernel", "world", "crash"):
    sys.path.insert(0, str(Path(__file__).parents[1] / ring))
