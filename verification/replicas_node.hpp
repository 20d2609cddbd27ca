// Replicated and split stores: the node, its lease, what it reads and what it mints.

#pragma once

#include "replicas_servers.hpp"

class ReplicasNode : public ReplicasServers {
 protected:
  using ReplicasServers::ReplicasServers;

  template <class Go>
  void node(const State& s, Go& go) const {
    heartbeat(s, go);
    if (s.node.beat != IDLE) give_up(s, go);
    read(s, go);
    if (scope_.jwts) {
      refresh_keys(s, go);
      mint(s, go);
    }
    prove_home(s, go);
  }

  // --- heartbeat and join ---

  template <class Go>
  void heartbeat(const State& s, Go& go) const {
    const Node& me = s.node;
    State t = s;
    switch (me.beat) {
      case IDLE:
        if (scope_.joins_later && s.revoker.phase != RETURNED) break;
        t.node.age = 0;
        t.node.beat = me.member ? SENT : JOIN_SENT;
        if (!me.member) t.node.id = 1 - me.id;
        go(t,
           me.member ? "the node reads its clock and sends a heartbeat"
                     : "the node reads its clock and asks to join, as id %d",
           t.node.id);
        break;
      case SENT:
      case JOIN_SENT:
        for (int k = 0; k < 2; ++k) me.beat == SENT ? hear_beat(s, k, go) : hear_join(s, k, go);
        break;
      case HEARD:
        if (!me.alone || !with(DURABLE_HEARTBEAT)) take_beat(s, go);
        break;
      case JOIN_HEARD:
        if (me.alone && with(DURABLE_JOIN)) break;
        see(t, after_writing(me.seen, me.of_epoch));
        forget_answer(t);
        t.node.beat = JOINED;
        go(t, "the node hears that it has joined");
        break;
      case JOINED:
        for (int k = 0; k < 2; ++k) read_tail(s, k, go);
        break;
      case TAIL_READ:
        for (int k = 0; k < 2; ++k) read_keys(s, k, go);
        break;
    }
  }

  static void forget_answer(State& t) {
    Node& me = t.node;
    me.alone = me.told = 0;
    me.of_epoch = me.upto = me.brings = 0;
  }

  template <class Go>
  void give_up(const State& s, Go& go) const {
    State t = s;
    forget_answer(t);
    t.node.beat = IDLE;
    t.node.age = 0;
    if (!s.node.member) t.node.epoch = t.node.applied = t.node.knows = 0;
    go(t, "the node waits no longer for an answer");
  }

  template <class Go>
  void hear_beat(const State& s, int k, Go& go) const {
    if (!answers(s, k)) return;
    State t = s;
    Home& h = t.home[k];
    Node& me = t.node;
    me.beat = HEARD;
    me.of_epoch = h.epoch;
    me.told = !h.row || h.id != me.id || h.epoch != me.epoch || h.head < me.applied;
    if (!me.told) {
      me.upto = h.head;
      me.brings = lines(h, me.applied);
    }
    if (h.row && h.id == me.id) h.applied = me.applied, h.of_epoch = me.epoch;
    me.alone = alone_at_home(k);
    go(t,
       me.told ? "server %d of home tells the node that it has lost its place"
               : "server %d of home writes the node's row, and reads the changes up to %d",
       k, me.upto);
  }

  template <class Go>
  void take_beat(const State& s, Go& go) const {
    State t = s;
    Node& me = t.node;
    see(t, after_writing(me.seen, me.of_epoch));
    me.beat = IDLE;
    if (s.node.told) {
      drop(t);
    } else {
      me.applied = me.upto;
      if (me.brings) hear_of_s0(t, me.brings);
      me.lease = left(me.age);
    }
    me.age = 0;
    forget_answer(t);
    go(t,
       s.node.told ? "the node forgets everything: its place is lost"
                   : "the node applies the changes, and moves its deadline: %d ticks from now",
       me.lease);
  }

  static void hear_of_s0(State& t, int what) {
    Node& me = t.node;
    me.knows = std::max<int>(me.knows, what);
    me.has = 0;
    mark(t);
  }

  static void mark(State& t) {
    if (t.node.read && t.node.checks) t.node.marked = 1;
    else end_read(t);
  }

  static void end_read(State& t) { t.node.read = t.node.name = t.node.row = t.node.checks = t.node.marked = 0; }

  // What is known of revocations stays until the join brings it anew, but nothing is answered from it.
  static void drop(State& t) {
    Node& me = t.node;
    me.member = me.lease = me.has = me.key = 0;
    me.epoch = me.applied = me.knows = 0;
    end_read(t);
  }

  template <class Go>
  void hear_join(const State& s, int k, Go& go) const {
    if (!answers(s, k)) return;
    State t = s;
    Home& h = t.home[k];
    h.row = 1;
    h.id = s.node.id;
    h.applied = h.of_epoch = 0;
    t.node.beat = JOIN_HEARD;
    t.node.of_epoch = h.epoch;
    t.node.alone = alone_at_home(k);
    go(t, "server %d of home writes the node's row, id %d, applied 0", k, h.id);
  }

  template <class Go>
  void read_tail(const State& s, int k, Go& go) const {
    const Home& h = s.home[k];
    if (!reads_home(s, k) || !believes(s.node.seen, h.epoch)) return;
    State t = s;
    Node& me = t.node;
    see(t, after_reading(me.seen, h.epoch));
    me.epoch = h.epoch;
    me.applied = h.head;
    me.knows = lines(h, 0);
    if (scope_.jwts) {
      me.beat = TAIL_READ;
    } else {
      become_member(t);
    }
    go(t, "the node reads the log on server %d of home, up to %d", k, h.head);
  }

  template <class Go>
  void read_keys(const State& s, int k, Go& go) const {
    if (!keys_count(s, k)) return;
    State t = s;
    take_keys(t, k);
    become_member(t);
    go(t, "the node reads the keys on server %d of home, and has joined", k);
  }

  void become_member(State& t) const {
    Node& me = t.node;
    me.member = 1;
    me.beat = IDLE;
    me.lease = left(me.age);
    me.age = 0;
  }

  bool keys_count(const State& s, int k) const {
    const int epoch = s.home[k].epoch;
    return reads_home(s, k) && believes(s.node.seen, epoch) && (epoch == s.node.epoch || !with(KEYS_OF_OWN_EPOCH));
  }

  void take_keys(State& t, int k) const {
    see(t, after_reading(t.node.seen, t.home[k].epoch));
    t.node.key = t.home[k].key;
  }

  // A line of the log says that the keys have changed.
  template <class Go>
  void refresh_keys(const State& s, Go& go) const {
    if (!s.node.member) return;
    for (int k = 0; k < 2; ++k) {
      if (!keys_count(s, k) || s.node.key == s.home[k].key) continue;
      State t = s;
      take_keys(t, k);
      go(t, "the node has heard that the keys have changed, and reads them on server %d of home", k);
    }
  }

  static void see(State& t, int epoch) {
    if (t.node.seen == epoch) return;
    t.node.seen = epoch;
    t.node.recalls = t.node.recalled = 0;
  }

  // Who is answered under a lower epoch than it has seen asks that home to prove itself.
  template <class Go>
  void prove_home(const State& s, Go& go) const {
    for (int k = 0; k < 2; ++k) {
      if (!answers(s, k) || !proves_epoch(s, k) || !hears_less(s, s.node.seen)) continue;
      State t = s;
      see(t, with(PROOF_NAMES_ITS_EPOCH) ? int(s.home[k].epoch) : 0);
      go(t, "the node is answered under a lower epoch; a write is durable on server %d of home, as a proof", k);
    }
  }

  // --- reading S0: for memory, and for a check ---

  template <class Go>
  void read(const State& s, Go& go) const {
    const Node& me = s.node;
    switch (me.read) {
      case NO_READ:
        if (!me.member || !me.lease) break;
        if (me.has && s.revoker.phase != RETURNED) break;
        begin_read(s, go);
        break;
      case BEGUN:
        for (int k = 0; k < 2; ++k) read_name(s, k, go);
        break;
      case NAME_READ:
        for (int x = 0; x < 3; ++x) read_row(s, x, go);
        break;
      case ROW_READ:
        if (!me.marked) keep(s, go);
        break;
    }
    if (me.read) {
      State t = s;
      end_read(t);
      go(t, "the node gives up reading S0");
    }
  }

  template <class Go>
  void begin_read(const State& s, Go& go) const {
    State t = s;
    t.node.read = BEGUN;
    t.node.checks = s.revoker.phase == RETURNED;
    go(t, t.node.checks ? "CHECK begins: the lease is live, and the node begins to read S0 from the store"
                        : "the node begins to read S0 from the store");
    if (!s.node.recalls) return;
    t.node.read = NAME_READ;
    t.node.name = s.node.recalled;
    go(t,
       t.node.checks ? "CHECK begins: the lease is live, and the node will read S0 under the name that it has heard, %d"
                     : "the node will read S0 under the name that it has heard, %d",
       t.node.name);
  }

  template <class Go>
  void read_name(const State& s, int k, Go& go) const {
    const Home& h = s.home[k];
    if (!reads_home(s, k) || !believes(s.node.seen, h.epoch)) return;
    State t = s;
    see(t, after_reading(s.node.seen, h.epoch));
    t.node.read = NAME_READ;
    t.node.name = h.name;
    if (scope_.recalls) t.node.recalls = 1, t.node.recalled = h.name;
    go(t, "it reads on server %d of home which name is registered for S0's bucket: %d", k, h.name);
  }

  template <class Go>
  void read_row(const State& s, int x, Go& go) const {
    const bool runs = runs_at_rows(s, x) || (!with(RUN_ON_PRIMARY) && x == 1);
    if (!runs || row(s, x) == ABSENT) return;
    if (with(ROW_ONLY_UNDER_REGISTERED_NAME) && !counts(s.node.name, row_name(s, x))) return;
    State t = s;
    const int content = row(s, x);
    if (content == TOMBSTONE) {
      end_read(t);
    } else {
      t.node.read = ROW_READ;
      t.node.name = 0;
      t.node.row = content;
    }
    go(t,
       content == TOMBSTONE ? "it reads S0's row on server %d of the rows: a tombstone"
                            : "it reads S0's row on server %d of the rows, version %d",
       x, version(content));
  }

  template <class Go>
  void keep(const State& s, Go& go) const {
    State t = s;
    t.node.has = s.node.row;
    end_read(t);
    go(t, "the node keeps the row: S0 is in memory");
  }

  // --- JWTs ---

  template <class Go>
  void mint(const State& s, Go& go) const {
    const Node& me = s.node;
    if (!me.member || !me.lease || !is_old(me.has) || !me.key || s.rest.jwt) return;
    State t = s;
    t.rest.jwt = me.has;
    t.rest.kid = me.key;
    go(t, "the node mints a JWT for S0, version %d, with the key of epoch %d", version(me.has), me.key - 1);
  }

  bool accepts_jwt(const State& s) const {
    const Node& me = s.node;
    if (!s.rest.jwt || !me.key || s.rest.kid != me.key) return false;
    return me.knows != 3 && version(s.rest.jwt) > me.knows;
  }
};
