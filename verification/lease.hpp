// Nodes, leases, the change log and the barrier: the heart of the protocol.
//
// One session, S0, is signed in. Nodes answer for it from memory, or for a JWT minted from it. Revoker 0 revokes it;
// revoker 1 revokes another session (its change takes a position in the log, and that is what it is for), or S0 once
// more. The property: NO CHECK THAT BEGINS AFTER A REVOCATION OF S0 RETURNED IS ANSWERED BY YES.
//
// Everything that can be slow or fail is in here as "may happen now, later, or never": a node, a revoker, a request and
// an answer each move one small step at a time, and between two steps anybody else may move, and time may pass. A pause
// of a process is nothing special: it is a process that does not move while time passes. All clocks count ticks. They
// are kept as "how long ago" and "how long still", and stop at what no decision asks beyond, so the number of states is
// finite though runs are endless.
//
// Each `with(guard)` is one rule that can be taken away. The paragraphs of the protocol are in
//
//   lease_state.hpp      what there is to know of a moment
//   lease_barrier.hpp    Log, Barrier, Sweep, Epoch
//   lease_memory.hpp     Fill, Check
//   lease_heartbeat.hpp  Heartbeat, Join
//   lease.hpp            time, crashes, leaving, and what the whole must be able to do

#pragma once

#include "lease_heartbeat.hpp"

class Lease : public LeaseHeartbeat {
 public:
  using LeaseHeartbeat::LeaseHeartbeat;

  template <class Go>
  void next(const State& s, Go& go) const {
    time_passes(s, go);
    for (int r = 0; r < scope_.revokers; ++r) revoke(s, r, go);
    for (int n = 0; n < scope_.nodes; ++n) {
      heartbeat(s, n, go);
      if (scope_.sessions) fill(s, n, go);
      if (scope_.crashes) crash(s, n, go), leave(s, n, go);
      if (scope_.late) late_request(s, n, go);
      check(s, n, go);
    }
    store(s, go);
    note_goals(s, go);
  }

  std::vector<GoalText> goals() const {
    std::vector<GoalText> all = {{RETURN_OVER_LIVE, "a revocation returns while a node's lease is live"},
                                 {RETURN_OVER_SILENT, "a revocation returns while a node is silent, its lease over"},
                                 {YES_BEFORE, "S0 is answered by yes from memory before it is revoked"}};
    if (scope_.jwts) all.push_back({NO_AFTER, "a JWT is answered by no from memory after the revocation returned"});
    if (scope_.trims || scope_.sweeps) all.push_back({LOST_PLACE, "a node hears that it has lost its place"});
    if (scope_.pages) all.push_back({NEXT_PAGE_ASKED, "an answer has more than one page"});
    return all;
  }

 private:
  template <class Go>
  void note_goals(const State& s, Go& go) const {
    bool live = false, refuses = false, warm = false, silent = false;
    for (const Node& n : s.node) {
      live |= n.lease > 0;
      refuses |= n.lease && n.knows;
      warm |= n.lease && (scope_.sessions ? n.has_s0 : accepts_jwt(s, n));
      silent |= n.member == MEMBER && !n.lease;
    }
    const bool returned = has_returned(s);
    if (returned && live) go.reached(RETURN_OVER_LIVE);
    if (returned && !live && silent) go.reached(RETURN_OVER_SILENT);
    if (s.store.alive && warm) go.reached(YES_BEFORE);
    if (returned && refuses) go.reached(NO_AFTER);
  }

  // --- time ---

  template <class Go>
  void time_passes(const State& s, Go& go) const {
    tick(s, NOBODY, 0, "tick", go);
    if (!with(CLOCK_COUNTS_SUSPEND)) {
      for (int n = 0; n < scope_.nodes; ++n)
        tick(s, n, 0, "tick, while the machine of node %d is suspended: its clock stands still", go);
    }
    if (scope_.drift) {
      for (int n = 0; n < scope_.nodes; ++n) {
        if (!s.node[n].tick_lost) tick(s, n, 0, "tick, which the clock of node %d loses", go);
      }
      if (!s.tick_gained) tick(s, NOBODY, 1, "tick, which the clock of whoever waits counts twice", go);
    }
    if (!with(WAIT_ON_OWN_CLOCK)) {
      State t = s;
      for (Revoker& r : t.revoker) {
        if (r.phase == COMMITTED || r.phase == WAITING) r.since = whole_wait();
      }
      go(t, "the store's wall clock steps forward by more than a lease");
    }
    if (!with(SWEEP_BY_COUNTER)) {
      State t = s;
      for (Row& r : t.row) {
        if (r.there) r.still = whole_wait();
      }
      go(t, "the store's wall clock steps forward by more than a lease");
    }
  }

  template <class Go>
  void tick(const State& s, int stands_still, int twice, const char* what, Go& go) const {
    State t = s;
    for (int n = 0; n < scope_.nodes; ++n) {
      Node& m = t.node[n];
      if (t.late[n].is_copy) t.late[n].age = more(t.late[n].age, whole_wait());
      if (n == stands_still) {
        if (scope_.drift) m.tick_lost = scope_.lease;
        continue;
      }
      m.tick_lost = less(m.tick_lost);
      m.lease = less(m.lease);
      if (m.beat != IDLE) m.age = more(m.age, nodes_lease());
    }
    for (Row& r : t.row) {
      if (r.there && scope_.sweeps) r.still = std::min(r.still + 1 + twice, whole_wait());
    }
    for (Revoker& r : t.revoker) {
      if (r.phase == COMMITTED || r.phase == WAITING || (r.phase == EARLY && !with(CLOCK_AFTER_COMMIT))) {
        r.since = std::min(r.since + 1 + twice, whole_wait());
      }
    }
    t.tick_gained = twice ? scope_.lease : less(t.tick_gained);
    t.unsettled = less(t.unsettled);
    go(t, what, stands_still);
  }

  // --- crash ---

  template <class Go>
  void crash(const State& s, int n, Go& go) const {
    if (s.node[n].member == OUTSIDE && !s.node[n].knows && !s.node[n].epoch) return;
    State t = s;
    Node& me = t.node[n];
    me = Node{};
    me.row = NOBODY;
    if (t.store.check && t.store.at == n) t.store.check = t.store.at = 0;
    go(t, "node %d crashes, and is started anew", n);
  }

  // --- leaving ---

  // In the order of an orderly end: the node answers no more, then its row goes.
  template <class Go>
  void leave(const State& s, int n, Go& go) const {
    const Node& me = s.node[n];
    if (me.member != MEMBER || me.beat != IDLE || !s.row[me.row].there) return;
    State t = s;
    delete_row(t, me.row);
    if (with(LEAVE_AFTER_LAST_ANSWER)) {
      t.node[n] = Node{};
      t.node[n].row = NOBODY;
      if (t.store.check && t.store.at == n) t.store.check = t.store.at = 0;
    }
    go(t,
       with(LEAVE_AFTER_LAST_ANSWER) ? "node %d answers no more, and takes its row away"
                                     : "node %d takes its row away, and still answers",
       n);
  }
};
