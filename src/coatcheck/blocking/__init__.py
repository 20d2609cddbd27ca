"""
The engine and the verifier for code without await: Flask, Django, scripts, thread pools. Floor 4; may import: 0 to 4.

    with blocking.Coatcheck("sqlite:///coatcheck.db") as auth:
        found = auth.check(token)

There is no second engine. The async one runs in a thread of its own, and calls go there and wait:

- :mod:`.thread`: that thread; what a fork and the end of the program mean for it.
- :mod:`.engine`: :class:`Coatcheck`, method for method.
- :mod:`.verifier`: :class:`Verifier`.

Rules of this room:

1. What is answered from memory is answered on the calling thread. Only what needs the store crosses over.
2. It opens itself at the first use, so it may be built where nothing should happen yet: at import, or before a server
   forks its workers. Then each worker is a node of its own.
3. Names, arguments and answers are those of the async ones; a test compares them.
"""

from coatcheck.blocking.engine import Coatcheck
from coatcheck.blocking.verifier import Verifier

__all__ = ["Coatcheck", "Verifier"]
