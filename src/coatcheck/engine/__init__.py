"""
Coatcheck: the one object. Floor 4; may import: floors 0 to 3.

It reads the clocks, draws the random values, and puts the lower floors together; it decides nothing itself. One object
in three parts, each built on the one before:

- :mod:`.life`: opening and closing, forks, and what is seen from outside.
- :mod:`.tokens`: access tokens, refresh tokens, signing keys.
- :mod:`.sessions`: the rest, and the whole: :class:`Coatcheck`.

Rules of this room:

1. An expected outcome is a value: a :class:`Session`, a :class:`Receipt`, or a :class:`Refused`. Exceptions are faults.
2. When a method that ends or changes sessions returns, no process accepts the old state.
3. A warm check awaits nothing and touches no disk.
"""

from coatcheck.engine.sessions import Coatcheck

__all__ = ["Coatcheck"]
