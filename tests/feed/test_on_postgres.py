"""The stories of the feed over a real PostgreSQL, where the issuer holds a lease itself."""

import asyncio

import pytest
from tests.feed import test_feed as feed
from tests.feed import test_verifier as verifiers
from tests.feed.issuer import LONG_S, soon
from tests.servers import postgres

from coatcheck import Refused, Verifier
from coatcheck.stores import _postgres_guests as guests

SECRET = "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldCE"

verifier = verifiers.verifier
test_a_token_is_refused_on_the_very_next_verify = verifiers.test_a_token_is_refused_on_the_very_next_verify
test_it_goes_on_when_the_issuer_was_away = verifiers.test_it_goes_on_when_the_issuer_was_away_for_a_moment
test_without_its_issuer_it_is_unsure = verifiers.test_without_its_issuer_it_is_unsure_and_heals_by_itself
test_a_cut_in_one_direction = verifiers.test_a_cut_in_one_direction
test_two_servers_answer_in_turn = verifiers.test_two_servers_answer_one_service_in_turn
test_keys_are_applied_before_they_are_acknowledged = (
    verifiers.test_keys_are_applied_before_they_are_acknowledged_in_the_middle_of_a_long_log
)
test_a_join = feed.test_a_join_tells_everything_that_is_not_forgotten
test_the_answer_is_held_until_something_changes = feed.test_the_answer_is_held_until_something_changes
test_the_log_is_read_after_the_row_was_written = (
    feed.test_the_log_is_read_after_the_row_was_written_and_keys_after_the_log
)
test_a_row_counts_before_the_log_is_read = feed.test_a_row_counts_before_the_log_is_read
test_who_lost_the_place_is_told = feed.test_who_lost_the_place_is_told
test_everyones_end_is_told = feed.test_everyones_end_is_told_even_to_who_waits
test_the_seventeenth_node_is_refused = feed.test_the_seventeenth_node_is_refused
test_the_dead_make_room = feed.test_the_dead_make_room
test_any_process_answers_any_poll = feed.test_any_process_answers_any_poll


@pytest.fixture
def store(nothing_from_outside, monkeypatch):
    """An empty store, and the secret that all processes on it share."""
    monkeypatch.setenv("COATCHECK_SECRET", SECRET)
    return postgres.shared().url()


async def test_services_that_are_slow_to_serve_keep_no_heartbeat_waiting(issuer):
    """Every connection for them is busy, and the issuer still answers from memory."""
    lane, busy = issuer.auth._store._guest_lane(), asyncio.Event()

    async def sit(connection):
        await busy.wait()

    sitting = [asyncio.create_task(lane.read(sit)) for _ in range(guests.SIZE)]
    lease = issuer.auth._memory._watch
    for _ in range(2):
        assert await soon(lease._next_round()) is None
    assert lease.is_sure(issuer.site.clock.elapsed())
    busy.set()
    await asyncio.gather(*sitting)


async def test_a_verifier_on_the_store_and_one_on_the_feed(issuer, store):
    """Both are nodes, and a revocation waits for both and for the issuer."""
    feed = issuer.feed("orders-api", await issuer.client("orders-api"))
    async with (
        Verifier(issuer.url, audience="orders", feed=feed) as far,
        Verifier(issuer.url, audience="orders", feed=store) as near,
    ):
        signed_in, jwt = await issuer.token()
        assert far.verify(jwt) and near.verify(jwt)
        receipt = await soon(issuer.auth.revoke(signed_in.session.sid))
        assert far.verify(jwt) == near.verify(jwt) == Refused("revoked")
        assert receipt.nodes == 3 and receipt.waited_s < LONG_S
