"""
The proof by real faults: processes that use one store at once, faults that are done to them, and a judge.

    python -m soak --help

Read in this order: :mod:`soak.history` (what was done, and when), :mod:`soak.ledger` and :mod:`soak.checker` (what of
it must never be), :mod:`soak.story` (what a worker does), :mod:`soak.faults` (what is done to it), :mod:`soak.driver`
(all of it together).
``docs/explanation/proof.md`` says what it shows, and what it cannot.
"""
