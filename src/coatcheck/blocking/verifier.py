"""The verifier for code without await. Floor 4; may import: floors 0 to 4."""

from __future__ import annotations

from typing import Self

import coatcheck.verifier
from coatcheck.blocking.engine import Coatcheck
from coatcheck.blocking.thread import Kept
from coatcheck.clock import Clock
from coatcheck.records import Claims, Refused

Feed = Coatcheck | str


class Verifier:
    """
    See :class:`coatcheck.Verifier`. It opens itself at the first use; :meth:`open` tells at once whether that works.

    Args:
        feed: As there; an engine is one of :mod:`coatcheck.blocking`.
    """

    def __init__(self, issuer: str, *, audience: str, feed: Feed, clock: Clock | None = None) -> None:
        self._engine = feed if isinstance(feed, Coatcheck) else None
        source: coatcheck.verifier.Feed = feed.template if isinstance(feed, Coatcheck) else feed
        self._kept = Kept(
            lambda: coatcheck.verifier.Verifier(issuer, audience=audience, feed=source, clock=clock), "verifier"
        )
        self.issuer = issuer
        self.audience = audience

    def __repr__(self) -> str:
        return f"<blocking Verifier of {self.issuer} for {self.audience!a}>"

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def open(self) -> None:
        """See :meth:`coatcheck.Verifier.open`."""
        if self._engine is None:
            self._kept.open()
        else:
            self._engine.open()

    def close(self) -> None:
        """See :meth:`coatcheck.Verifier.close`. An engine that it was given stays open."""
        self._kept.close()

    def verify(self, jwt: str) -> Claims | Refused:
        """See :meth:`coatcheck.Verifier.verify`. Once open it is answered here, on the calling thread."""
        self._kept.check_usable()
        if self._engine is not None:
            return self._engine.verify(jwt, audience=self.audience)
        return self._kept.ask(lambda verifier: verifier.verify(jwt))
