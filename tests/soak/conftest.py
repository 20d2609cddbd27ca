"""What the tests of the soak may ask for."""

import sys
from pathlib import Path

# The tests here share modules.
sys.path.insert(0, str(Path(__file__).parent))
