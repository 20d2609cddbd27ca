"""
``coatcheck doctor``: reads a site, or our own installation, and says what to mend. Floor 6; may import: floors 0 to 6.

Read :mod:`.checks` first: what a check is, and what it says. Then

- a site of any make: :mod:`.client` asks it, :mod:`.visit` decides for what, :mod:`.seen` is all that was seen, and
  ``site_*.py`` are the checks, which ask nothing themselves. :mod:`.saved` reads a response from a file.
- our own installation: :mod:`.installation` looks, and ``ours_*.py`` are the checks.
- :mod:`.report` tells it, and :mod:`.command` is the command.
"""

from __future__ import annotations
