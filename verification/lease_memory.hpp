// The lease model: paragraphs Fill and Check.

#pragma once

#include "lease_barrier.hpp"

class LeaseMemory : public LeaseBarrier {
 protected:
  using LeaseBarrier::LeaseBarrier;

  // --- memory and fills ---

  void forget_everything(State& t, int n) const {
    if (with(DROP_FORGETS_SESSIONS)) t.node[n].has_s0 = 0;
    if (with(DROP_MARKS_FILLS)) mark(t, n);
  }

  // A marked fill will never be kept, and nobody may ride on it: it is as good as gone.
  void mark(State& t, int n) const {
    Node& me = t.node[n];
    if (me.fill != ASKED && me.fill != IN_HAND) return;
    if (with(RIDE_ONLY_UNMARKED)) {
      end_fill(t, n);
    } else {
      me.marked = 1;
    }
  }

  static void end_fill(State& t, int n) {
    t.node[n].fill = t.node[n].marked = 0;
    if (t.store.check == RIDING && t.store.at == n) t.store.check = t.store.at = 0;
  }

  template <class Go>
  void fill(const State& s, int n, Go& go) const {
    const Node& me = s.node[n];
    const bool has_row = s.store.alive || !with(READ_FROM_PRIMARY);
    if (me.fill == NO_FILL && !me.has_s0 && (me.lease || !with(FILL_UNDER_LIVE_LEASE))) {
      State t = s;
      t.node[n].fill = ASKED;
      go(t, "node %d begins to read S0 from the store", n);
      if (!with(OWN_WRITES_ARE_FILLS) && s.store.alive) {
        t.node[n].fill = OWN_WRITE;
        go(t, "node %d writes S0 itself, and will keep what it wrote", n);
      }
    }
    State t = s;
    Node& you = t.node[n];
    switch (me.fill) {
      case ASKED:
        if (has_row) {
          you.fill = IN_HAND;
          go(t,
             s.store.alive ? "the store reads S0's row for node %d: it is there"
                           : "a replica that lags behind reads S0's row for node %d: it is there",
             n);
        }
        if (!s.store.alive) {
          end_fill(t, n);
          go(t, "the store reads S0's row for node %d: it is gone", n);
        }
        break;
      case IN_HAND:
        if (me.marked) {
          end_fill(t, n);
          go(t, "node %d does not keep the row: the fill was marked", n);
        } else if (with(MARK_AND_INSERT_AT_ONCE)) {
          you.has_s0 = 1;
          end_fill(t, n);
          go(t, "node %d keeps the row: S0 is in memory", n);
        } else {
          you.fill = TESTED;
          go(t, "node %d finds the fill unmarked", n);
        }
        break;
      case TESTED:
      case OWN_WRITE:
        you.has_s0 = 1;
        end_fill(t, n);
        go(t, "node %d keeps the row: S0 is in memory", n);
        break;
      default: break;
    }
  }

  // --- check ---

  bool has_returned(const State& s) const {
    for (int r = 0; r < scope_.revokers; ++r) {
      if (names_s0(r) && s.revoker[r].phase == RETURNED) return true;
    }
    return false;
  }

  template <class Go>
  void check(const State& s, int n, Go& go) const {
    if (!has_returned(s)) return;
    if (s.store.check) {
      if (s.store.at == n) second_look(s, n, go);
      return;
    }
    const Node& me = s.node[n];
    const bool live = me.lease || !with(LEASE_BEFORE_ANSWER);
    const bool memory_first = !with(DEADLINE_BEFORE_MEMORY);
    const auto begin = [&](Check kind, const char* what) {
      State t = s;
      t.store.check = kind;
      t.store.at = n;
      go(t, what, n);
    };
    if (scope_.sessions) {
      if (!memory_first && live) begin(SESSION, "CHECK of the session begins on node %d: the lease is live");
      if (memory_first && me.has_s0)
        begin(SESSION_MEMORY_FIRST, "CHECK of the session begins on node %d: S0 is in memory");
      const bool may_ride = me.lease || !with(RIDE_UNDER_LIVE_LEASE);
      if (scope_.rides && may_ride && (me.fill == ASKED || me.fill == IN_HAND))
        begin(RIDING, "CHECK of the session begins on node %d, and rides on the read under way");
      if (s.store.alive) go.accepts("CHECK of the session on node %d reads S0's row from the store -> ACCEPTED", n);
      if (!with(READ_FROM_PRIMARY))
        go.accepts("CHECK of the session on node %d reads S0's row from a replica that lags behind -> ACCEPTED", n);
    }
    if (scope_.jwts) {
      if (!memory_first && live) begin(JWT, "CHECK of a JWT begins on node %d: the lease is live");
      if (memory_first && accepts_jwt(s, me))
        begin(JWT_MEMORY_FIRST, "CHECK of a JWT begins on node %d: nothing in memory is against it");
    }
  }

  // JWTs of S0 are signed with a key of the first epoch.
  bool accepts_jwt(const State& s, const Node& me) const {
    return !me.knows && (me.epoch == 0 || s.keys_stay || !with(KEYS_BELONG_TO_AN_EPOCH));
  }

  template <class Go>
  void second_look(const State& s, int n, Go& go) const {
    const Node& me = s.node[n];
    switch (s.store.check) {
      case SESSION:
        if (me.has_s0) go.accepts("CHECK on node %d: S0 is in memory -> ACCEPTED", n);
        break;
      case JWT:
        if (accepts_jwt(s, me)) go.accepts("CHECK on node %d: nothing in memory is against the JWT -> ACCEPTED", n);
        break;
      case SESSION_MEMORY_FIRST:
      case JWT_MEMORY_FIRST:
        if (me.lease) go.accepts("CHECK on node %d: the lease is live -> ACCEPTED", n);
        break;
      case RIDING:
        if (me.fill == IN_HAND)
          go.accepts("CHECK on node %d is answered by the read it rode on: S0's row is there -> ACCEPTED", n);
        break;
      default: break;
    }
  }
};
