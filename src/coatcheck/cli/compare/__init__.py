"""
``coatcheck compare``: cookie, JWT and hybrid side by side, measured here. Floor 6; may import: floors 0 to 6.

:mod:`.measure` measures, :mod:`.words` holds what no measuring says, :mod:`.plot` draws, and :mod:`.command` is the
command.
"""

from __future__ import annotations
