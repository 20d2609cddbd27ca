// The lease model: paragraphs Heartbeat and Join.

#pragma once

#include "lease_memory.hpp"

class LeaseHeartbeat : public LeaseMemory {
 protected:
  using LeaseMemory::LeaseMemory;

  template <class Go>
  void heartbeat(const State& s, int n, Go& go) const {
    const Node& me = s.node[n];
    switch (me.beat) {
      case IDLE: send(s, n, go); break;
      case SENT: first_half(s, n, go); break;
      case HALF_DONE: second_half(s, n, go); break;
      case ANSWERED: receive(s, n, go); break;
      case APPLIED: finish(s, n, go); break;
      case NEXT_PAGE: next_page(s, n, go); break;
    }
    if (me.beat == SENT || me.beat == HALF_DONE || me.beat == ANSWERED || me.beat == NEXT_PAGE) give_up(s, n, go);
  }

  template <class Go>
  void send(const State& s, int n, Go& go) const {
    if (s.node[n].member == MEMBER) {
      State t = s;
      t.node[n].beat = SENT;
      go(t, "node %d reads its clock and sends a heartbeat", n);
      return;
    }
    const int k = free_row(s);
    if (k != NOBODY) {
      State t = s;
      Node& me = t.node[n];
      me.member = JOINING;
      me.row = k;
      me.beat = SENT;
      go(t, "node %d reads its clock and asks to join, as id %d", n, k);
    }
    if (!with(ONE_ID_ONE_PROCESS) && n == 1 && s.node[0].member == MEMBER && s.node[0].beat == IDLE) {
      State t = s;
      t.node[1] = s.node[0];
      go(t, "node 1 is forked from node 0, memory, lease and id");
    }
  }

  // A random id is one that nothing anywhere refers to.
  static int free_row(const State& s) {
    for (int k = 0; k < ROWS; ++k) {
      bool taken = s.row[k].there;
      for (int n = 0; n < NODES; ++n) taken |= s.node[n].row == k || s.late[n].row == k;
      for (const Revoker& r : s.revoker) taken |= (r.list | r.asked) >> k & 1;
      if (!taken) return k;
    }
    return NOBODY;
  }

  // First the row is written, in a transaction of its own …
  template <class Go>
  void first_half(const State& s, int n, Go& go) const {
    const bool reads_first = s.node[n].member == JOINING ? !with(ROW_BEFORE_JOIN_READ) : !with(RENEW_BEFORE_READ);
    State t = s;
    if (reads_first) {
      read_changes(t, n);
      t.node[n].beat = HALF_DONE;
      go(t, "the store reads the changes for node %d", n);
      return;
    }
    const bool is_there = write_row(t, n);
    t.node[n].beat = is_there ? HALF_DONE : ANSWERED;
    go(t, is_there ? "the store writes the row of node %d" : "the store finds no row of node %d, and tells it so", n);
    if (scope_.late && is_there && !s.late[n].kind) {
      t.late[n] = request(s.node[n]);
      t.late[n].is_copy = !with(COUNTER_NEVER_REPEATS);  // else a copy is like any other late request
      go(t, "the store writes the row of node %d; a copy of the request is still under way", n);
    }
  }

  // … then the changes are read, in a later snapshot.
  template <class Go>
  void second_half(const State& s, int n, Go& go) const {
    const bool reads_first = s.node[n].member == JOINING ? !with(ROW_BEFORE_JOIN_READ) : !with(RENEW_BEFORE_READ);
    State t = s;
    if (reads_first) {
      const bool is_there = write_row(t, n);
      go(answered(t, n),
         is_there ? "the store writes the row of node %d" : "the store finds no row of node %d, and tells it so", n);
      return;
    }
    read_changes(t, n);
    go(answered(t, n),
       t.node[n].told ? "the store tells node %d that it has lost its place"
                      : "the store reads the changes for node %d, up to %d",
       n, t.node[n].upto);
  }

  static const State& answered(State& t, int n) {
    t.node[n].beat = ANSWERED;
    return t;
  }

  // Says whether the node has a place.
  bool write_row(State& t, int n) const {
    Node& me = t.node[n];
    Row& row = t.row[me.row];
    if (me.member == MEMBER && !row.there && with(BEAT_CREATES_NO_ROW)) {
      me.told = with(MISSING_ROW_IS_TOLD);
      return !me.told;
    }
    const int applied = me.member == JOINING ? (with(JOIN_ACKNOWLEDGES_NOTHING) ? 0 : head(t)) : me.applied;
    const int epoch = me.member == JOINING ? t.store.epoch : me.epoch;
    row.there = 1;
    row.applied = applied;
    row.epoch = epoch;
    row.still = 0;
    row_written(t, me.row);
    return true;
  }

  void read_changes(State& t, int n) const {
    Node& me = t.node[n];
    const bool joins = me.member == JOINING;
    if (joins) me.of_epoch = t.store.epoch;
    const bool lost = t.store.trimmed > me.applied && with(TRIM_IS_TOLD);
    if (!joins && (lost || (me.epoch != t.store.epoch && with(HEARTBEAT_NAMES_ITS_EPOCH)))) {
      me.told = 1;
      return;
    }
    me.goal = head(t);
    read_page(t, me);
    if (!joins && !with(STORE_NEVER_ACKNOWLEDGES) && t.row[me.row].there) {
      t.row[me.row].applied = me.upto;
      row_written(t, me.row);
    }
  }

  // What is trimmed is gone for who reads on; who joins reads every unforgotten change, and S0's is not forgotten (when
  // a change may be forgotten is another model's: mint.hpp).
  void read_page(State& t, Node& me) const {
    const int after = me.member == JOINING ? me.applied : std::max<int>(me.applied, t.store.trimmed);
    me.upto = std::max<int>(me.applied, head(t));
    if (scope_.pages && me.upto > me.applied + 1) me.upto = me.applied + 1;
    me.brings = names_s0(t, after, me.upto) && (me.member == MEMBER || with(JOIN_READS_THE_LOG));
  }

  // The answer arrives, and what it says is applied, under the lock that fills are kept under.
  template <class Go>
  void receive(const State& s, int n, Go& go) const {
    const Node& before = s.node[n];
    State t = s;
    Node& me = t.node[n];
    if (before.told) {
      forget_everything(t, n);
      if (!with(NEGATIVE_KNOWLEDGE_IS_KEPT)) me.knows = me.epoch = 0;
      me.member = OUTSIDE;
      me.row = NOBODY;
      if (with(TOLD_ENDS_LEASE)) me.lease = 0;
      me.applied = 0;
      end_beat(me);
      go.reached(LOST_PLACE);
      go(t, "node %d hears that it has lost its place, and forgets everything", n);
      return;
    }
    if (!with(APPLY_BEFORE_DEADLINE) && before.upto == before.goal) {
      move_deadline(me);
      me.beat = APPLIED;
      go(t, "an answer reaches node %d; it moves its deadline first", n);
      return;
    }
    if (!with(APPLY_BEFORE_ACKNOWLEDGE) && before.member == MEMBER && s.row[me.row].there) {
      State u = s;
      u.row[me.row].applied = me.upto;
      row_written(u, me.row);
      go(u, "node %d acknowledges position %d, which it has not applied yet", n, me.upto);
    }
    apply(t, n);
    if (!with(CLOCK_BEFORE_SENDING)) me.age = 0;
    const bool all = me.upto >= me.goal || !with(LAST_PAGE_BEFORE_DEADLINE) || !with(APPLIED_IS_WHAT_ARRIVED);
    me.applied = with(APPLIED_IS_WHAT_ARRIVED) ? me.upto : me.goal;
    if (!all) {
      me.beat = NEXT_PAGE;
      me.upto = me.brings = 0;
      if (!with(PAGES_COUNT_FROM_THE_FIRST)) me.age = 0;
      go.reached(NEXT_PAGE_ASKED);
      go(t, "node %d applies one page, up to %d, and asks for the next", n, me.applied);
      return;
    }
    me.member = MEMBER;
    me.upto = me.goal = me.brings = me.of_epoch = 0;
    me.beat = APPLIED;
    go(t,
       before.member == JOINING ? "node %d takes what it read at its join, up to %d"
                                : "node %d applies what it was sent, up to %d",
       n, me.applied);
  }

  void apply(State& t, int n) const {
    Node& me = t.node[n];
    if (me.member == JOINING) {
      if (with(JOIN_KEEPS_NOTHING)) forget_everything(t, n);
      me.epoch = me.of_epoch;
    } else if (me.brings) {
      me.has_s0 = 0;
      if (with(CHANGES_MARK_FILLS)) mark(t, n);
    }
    if (me.brings && scope_.jwts) me.knows = 1;
  }

  void move_deadline(Node& me) const { me.lease = std::max(nodes_lease() - me.age, 0); }

  static void end_beat(Node& me) { me.beat = me.age = me.upto = me.goal = me.brings = me.told = me.of_epoch = 0; }

  template <class Go>
  void finish(const State& s, int n, Go& go) const {
    State t = s;
    Node& me = t.node[n];
    if (!with(APPLY_BEFORE_DEADLINE)) {
      apply(t, n);
      me.applied = me.upto;
      me.member = MEMBER;
      end_beat(me);
      go(t, "node %d applies what it was sent, up to %d", n, me.applied);
      return;
    }
    move_deadline(me);
    end_beat(me);
    go(t, "node %d moves its deadline: %d ticks from now", n, me.lease);
  }

  template <class Go>
  void next_page(const State& s, int n, Go& go) const {
    State t = s;
    Node& me = t.node[n];
    const bool behind = me.member == MEMBER && s.store.trimmed > me.applied && with(PAGES_ARE_TOLD_TOO);
    const bool elsewhere = (me.member == MEMBER ? me.epoch : me.of_epoch) != s.store.epoch;
    if (behind || (elsewhere && with(HEARTBEAT_NAMES_ITS_EPOCH))) {
      me.told = 1;
      go(answered(t, n), "the store tells node %d that it has lost its place", n);
      return;
    }
    read_page(t, me);
    go(answered(t, n), "the store reads the next page for node %d, up to %d", n, me.upto);
  }

  static Late request(const Node& me) {
    Late late{};
    late.kind = me.member == JOINING ? A_JOIN : A_BEAT;
    late.row = me.row;
    late.applied = me.applied;
    late.epoch = me.epoch;
    return late;
  }

  template <class Go>
  void give_up(const State& s, int n, Go& go) const {
    State t = s;
    Node& me = t.node[n];
    if (me.member == JOINING) {
      me.member = OUTSIDE;
      me.row = NOBODY;
      me.applied = 0;
    }
    end_beat(me);
    go(t, s.node[n].beat == SENT ? "a request of node %d is lost" : "an answer to node %d is lost", n);
    if (scope_.late && s.node[n].beat == SENT && !s.late[n].kind) {
      t.late[n] = request(s.node[n]);
      go(t, "node %d gives up waiting; its request is still under way", n);
    }
  }

  // A request that nobody waits for any more is processed all the same. Its answer is thrown away.
  template <class Go>
  void late_request(const State& s, int n, Go& go) const {
    const Late& late = s.late[n];
    if (!late.kind) return;
    State t = s;
    t.late[n] = Late{};
    t.late[n].row = NOBODY;
    go(t, "a late request of node %d is lost", n);
    Row& row = t.row[late.row];
    if (late.kind == A_BEAT && !row.there && with(BEAT_CREATES_NO_ROW)) return;
    // A copy carries the number that its original wrote: who saw that one then sees it now, as if nothing had been. So
    // does a row that comes into being a second time: it may be deleted at once.
    const int still = late.is_copy ? late.age : row.there ? 0 : whole_wait();
    row.there = 1;
    row.still = still;
    row.applied = late.kind == A_BEAT ? late.applied : with(JOIN_ACKNOWLEDGES_NOTHING) ? 0 : head(s);
    row.epoch = late.kind == A_BEAT ? late.epoch : s.store.epoch;
    row_written(t, late.row);
    go(t,
       late.kind == A_JOIN ? "a late join of node %d is processed: row %d is written"
                           : "a late heartbeat of node %d is processed: row %d is written",
       n, late.row);
  }
};
