"""The stories of the feed over a Valkey Cluster, where the issuer holds a lease itself."""

import pytest
from tests.feed import test_feed as feed
from tests.feed import test_on_postgres as on_postgres
from tests.feed import test_verifier as verifiers
from tests.servers import valkey

from coatcheck.fleet.barrier import Barrier
from coatcheck.stores.base import ERA_BITS

verifier = verifiers.verifier
test_a_token_is_refused_on_the_very_next_verify = verifiers.test_a_token_is_refused_on_the_very_next_verify
test_without_its_issuer_it_is_unsure = verifiers.test_without_its_issuer_it_is_unsure_and_heals_by_itself
test_two_servers_answer_in_turn = verifiers.test_two_servers_answer_one_service_in_turn
test_a_join = feed.test_a_join_tells_everything_that_is_not_forgotten
test_the_answer_is_held_until_something_changes = feed.test_the_answer_is_held_until_something_changes
test_who_lost_the_place_is_told = feed.test_who_lost_the_place_is_told
test_everyones_end_is_told = feed.test_everyones_end_is_told_even_to_who_waits
test_the_seventeenth_node_is_refused = feed.test_the_seventeenth_node_is_refused
test_the_dead_make_room = feed.test_the_dead_make_room
test_any_process_answers_any_poll = feed.test_any_process_answers_any_poll
test_a_verifier_on_the_store_and_one_on_the_feed = on_postgres.test_a_verifier_on_the_store_and_one_on_the_feed


pytestmark = pytest.mark.long


@pytest.fixture
def store(nothing_from_outside, monkeypatch):
    """An empty store, and the secret that all processes on it share."""
    # Leases are so long here that nobody can wait for the end of one, as is done in an era that has just been seen.
    monkeypatch.setattr(Barrier, "note_era", lambda self, epoch, lease_s: setattr(self, "_era", epoch >> ERA_BITS))
    monkeypatch.setenv("COATCHECK_SECRET", on_postgres.SECRET)
    return valkey.shared("cluster").url()
