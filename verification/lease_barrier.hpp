// The lease model: paragraphs Log and Barrier, the sweep of rows, and what else befalls the store.

#pragma once

#include "lease_state.hpp"

class LeaseBarrier : public LeaseState {
 protected:
  using LeaseState::LeaseState;

  void append(State& t, int r, int position) const {
    t.store.log |= 1 << (position - 1);
    if (names_s0(r)) t.store.of_s0 |= 1 << (position - 1);
    t.revoker[r].position = position;
    t.revoker[r].epoch = t.store.epoch;
  }

  // --- revocation and barrier ---

  template <class Go>
  void revoke(const State& s, int r, Go& go) const {
    const Revoker& me = s.revoker[r];
    switch (me.phase) {
      case BEFORE: commit(s, r, go); break;
      case EARLY: commit_after_all(s, r, go); break;
      case COMMITTED: read_list(s, r, go); break;
      case WAITING: wait(s, r, go); break;
      default: break;
    }
  }

  template <class Go>
  void commit(const State& s, int r, Go& go) const {
    const int position = head(s) + 1;
    if (!with(COMMIT_BEFORE_LIST)) {
      State t = s;
      t.revoker[r].phase = EARLY;
      t.revoker[r].list = listed(t, position, t.store.epoch);
      go(t, "revoker %d reads the list of nodes, before its commit", r);
      return;
    }
    if (!with(CLOCK_AFTER_COMMIT)) {
      State t = s;
      t.revoker[r].phase = EARLY;
      go(t, "revoker %d notes its clock, before its commit", r);
      return;
    }
    if (!with(POSITIONS_IN_COMMIT_ORDER)) {
      State t = s;
      t.revoker[r].phase = EARLY;
      t.revoker[r].position = 1 + (s.revoker[1 - r].phase != BEFORE);
      go(t, "revoker %d takes number %d from a sequence", r, t.revoker[r].position);
      return;
    }
    if (!with(REVOKE_AGAIN_WAITS) && names_s0(r) && !s.store.alive) {
      State t = s;
      t.revoker[r].phase = RETURNED;
      go(t, "revoker %d finds S0 revoked already, and RETURNS at once", r);
    }
    State t = s;
    t.revoker[r].phase = scope_.two_slots ? EARLY : COMMITTED;
    if (!scope_.two_slots) {
      if (names_s0(r)) t.store.alive = 0;
      append(t, r, position);
      own_node(t, r);
      go(t,
         names_s0(r) ? "revoker %d commits the revocation of S0, position %d"
                     : "revoker %d commits the revocation of another session, position %d",
         r, position);
    } else if (with(ROW_BEFORE_LOG)) {
      if (names_s0(r)) t.store.alive = 0;
      go(t, "revoker %d makes the row of its session a tombstone", r);
    } else {
      append(t, r, position);
      go(t, "revoker %d appends to the log, position %d, before it changes the row", r, position);
    }
  }

  template <class Go>
  void commit_after_all(const State& s, int r, Go& go) const {
    State t = s;
    Revoker& me = t.revoker[r];
    const int taken = me.position;
    me.phase = COMMITTED;
    if (!taken) append(t, r, head(s) + 1);
    if (taken) append(t, r, taken);
    if (names_s0(r)) t.store.alive = 0;
    if (!with(COMMIT_BEFORE_LIST)) me.phase = WAITING;
    go(t,
       names_s0(r) ? "revoker %d commits the revocation of S0, position %d"
                   : "revoker %d commits the revocation of another session, position %d",
       r, me.position);
  }

  // The revoker's own node (revoker 1 lives on node 0) is a node like any other.
  void own_node(State& t, int r) const {
    if (with(OWN_NODE_APPLIES_TOO) || r != 1 || t.node[0].member != MEMBER) return;
    t.node[0].applied = t.revoker[r].position;
  }

  bool has_come(const Row& row, int position, int epoch) const {
    return row.applied >= position && (row.epoch == epoch || !with(BARRIER_STAYS_IN_ITS_EPOCH));
  }

  // Which rows there are that have not come as far as this position. With a new epoch the rows may have been lost of
  // nodes that still hold a lease. So an epoch is unsettled until somebody has watched it for a whole lease, and
  // written that down.
  int listed(const State& s, int position, int epoch) const {
    int list = 0;
    for (int k = 0; k < ROWS; ++k) {
      if (s.row[k].there && !has_come(s.row[k], position, epoch)) list |= 1 << k;
    }
    if (s.store.epoch != epoch && with(BARRIER_STAYS_IN_ITS_EPOCH)) return ALL_OF_IT;
    if (s.unsettled && with(NEW_EPOCH_WAITS_OUT_THE_LEASE)) return ALL_OF_IT;
    return list;
  }

  template <class Go>
  void read_list(const State& s, int r, Go& go) const {
    if (!with(UPDATES_WAIT_TOO))
      returns(s, r, "revoker %d only renews S0 (the old token must go, too), and RETURNS", go);
    State t = s;
    Revoker& me = t.revoker[r];
    me.phase = WAITING;
    me.list = listed(s, me.position, me.epoch);
    if (!with(SHARE_ONLY_A_LATER_LIST)) {
      for (int k = 0; k < ROWS; ++k) me.asked |= s.row[k].there << k;
    }
    go(t, "revoker %d reads the list of nodes", r);
    if (scope_.revokers == 2) share(s, r, go);
  }

  // Sharing a barrier whose list is read after one's own commit is the same as reading that list oneself, and needs no
  // step of its own. These are the other ways.
  template <class Go>
  void share(const State& s, int r, Go& go) const {
    const int other = 1 - r;
    const Revoker& theirs = s.revoker[other];
    if (!with(SHARE_ONLY_A_LATER_LIST) && theirs.phase == WAITING) {
      State t = s;
      Revoker& me = t.revoker[r];
      me.phase = WAITING;
      me.list = listed(s, me.position, me.epoch) & theirs.asked;
      go(t, "revoker %d joins the barrier under way, whose list was read before its commit", r);
    }
    if (theirs.phase != COMMITTED) return;
    if (!with(SHARE_TO_OWN_POSITION) && theirs.position < s.revoker[r].position) {
      State t = s;
      Revoker& me = t.revoker[r];
      me.phase = t.revoker[other].phase = WAITING;
      me.position = theirs.position;
      me.list = t.revoker[other].list = listed(s, me.position, me.epoch);
      go(t, "revokers %d and %d share one list and wait for the older position", r, other);
    }
    if (!with(SHARE_ON_THE_LATEST_CLOCK) && theirs.since > s.revoker[r].since) {
      State t = s;
      Revoker& me = t.revoker[r];
      me.phase = t.revoker[other].phase = WAITING;
      me.since = theirs.since;
      me.list = listed(s, me.position, me.epoch);
      t.revoker[other].list = listed(s, theirs.position, theirs.epoch);
      go(t, "revokers %d and %d share one list and one clock, the earlier one's", r, other);
    }
  }

  template <class Go>
  void wait(const State& s, int r, Go& go) const {
    const Revoker& me = s.revoker[r];
    if (!me.list) returns(s, r, "revoker %d RETURNS: all have applied it", go);
    if (me.since >= whole_wait()) returns(s, r, "revoker %d RETURNS: a lease has passed since its commit", go);
    if (!with(WAIT_OUT_THE_LEASE) && me.since >= 1) returns(s, r, "revoker %d RETURNS: it has waited long enough", go);
    if (!with(LOST_STORE_RAISES)) returns(s, r, "revoker %d loses the store, and RETURNS all the same", go);
    if (!with(SWEEP_ONLY_THE_SILENT) && me.since >= whole_wait()) {
      State t = s;
      for (int k = 0; k < ROWS; ++k) {
        if (me.list >> k & 1) delete_row(t, k);
      }
      t.revoker[r] = Revoker{};
      t.revoker[r].phase = RETURNED;
      go(t, "revoker %d deletes the rows of who has not answered, and RETURNS", r);
    }
  }

  template <class Go>
  void returns(const State& s, int r, const char* what, Go& go) const {
    State t = s;
    Revoker& me = t.revoker[r];
    me = Revoker{};
    me.phase = RETURNED;
    go(t, what, r);
  }

  // A row was written: whoever waits for it may see that it has come far enough. Once seen is enough, although a late
  // request may set it back; and whoever looks later only waits longer, so it is seen here and now.
  void row_written(State& t, int k) const {
    for (Revoker& r : t.revoker) {
      if (r.phase == WAITING && has_come(t.row[k], r.position, r.epoch)) r.list &= ~(1 << k);
    }
  }

  void delete_row(State& t, int k) const {
    t.row[k] = Row{};
    for (Revoker& r : t.revoker) {
      if (r.phase == WAITING || r.phase == EARLY) r.list &= ~(1 << k);
    }
  }

  // --- what the store does, or has done to it ---

  template <class Go>
  void store(const State& s, Go& go) const {
    if (scope_.sweeps) sweep(s, go);
    if (!with(WRITES_CHANGE_WHAT_EXISTS) && !s.store.alive) {
      State t = s;
      t.store.alive = 1;
      go(t, "a slow request saves S0, which it read long ago: the row is there again");
    }
    int others = 0;
    for (int p = 0; p < 3; ++p) others += (s.store.log & ~s.store.of_s0) >> p & 1;
    if (others < scope_.others) {
      State t = s;
      t.store.log |= 1 << head(s);
      go(t, "a change of another session is committed, position %d", head(t));
    }
    if (scope_.trims && s.store.trimmed < head(s)) {
      State t = s;
      t.store.trimmed = head(s);
      go(t, "the log is trimmed up to its head, %d", t.store.trimmed);
    }
    if (scope_.new_epoch && s.store.epoch == 0) {
      begin_new_epoch(s, RESTARTED, "the store restarts without its node rows: a new epoch begins", go);
      begin_new_epoch(s, EMPTIED, "the store is emptied: a new epoch begins", go);
      begin_new_epoch(s, RESTORED,
                      "the store is restored, node rows and all, from before the log began: a new epoch begins", go);
      begin_new_epoch(s, EVERYONE, "revoke_everyone commits: a new epoch begins", go);
    }
  }

  // `still` belongs to whoever began to watch first, so "look, and delete if it is still so" is one step here.
  template <class Go>
  void sweep(const State& s, Go& go) const {
    const int silent = with(SWEEP_WAITS_OUT_THE_LEASE) ? whole_wait() : 1;
    for (int k = 0; k < ROWS; ++k) {
      if (!s.row[k].there) continue;
      State t = s;
      if (with(SWEEP_BY_COMPARE)) {
        if (s.row[k].still < silent) continue;
        delete_row(t, k);
        go(t, "row %d, whose counter stood still, is deleted", k);
      } else if (s.row[k].doomed) {
        delete_row(t, k);
        go(t, "row %d is deleted, without another look", k);
      } else if (s.row[k].still >= silent) {
        t.row[k].doomed = 1;
        go(t, "a sweeper finds that the counter of row %d stood still", k);
      }
    }
  }

  // A restore ends all sessions, too. Only a restart keeps them, the log and the keys; the node rows it may have lost.
  template <class Go>
  void begin_new_epoch(const State& s, NewEpoch kind, const char* what, Go& go) const {
    State t = s;
    t.store.epoch = 1;
    t.keys_stay = kind == RESTARTED;
    if (kind != RESTARTED) t.store.alive = 0;
    if (kind == EMPTIED || kind == RESTORED) t.store.log = t.store.of_s0 = t.store.trimmed = 0;
    if (kind != EVERYONE) t.unsettled = whole_wait();
    for (int k = 0; k < ROWS; ++k) {
      if ((kind == EMPTIED || kind == RESTARTED) && s.row[k].there) delete_row(t, k);
      if (kind == RESTORED) t.row[k].applied = 0;
    }
    for (Revoker& r : t.revoker) {
      if (r.phase == WAITING && with(BARRIER_STAYS_IN_ITS_EPOCH)) r.list = ALL_OF_IT;
    }
    go(t, what);
  }
};
