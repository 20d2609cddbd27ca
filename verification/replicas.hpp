// Replicated and split stores: Valkey with replicas, Valkey Cluster; docs/decisions/0012.
//
// Home is one server with a replica: log, row of the node, keys, and the name of the history under which each bucket
// of rows is answered. S0's row is on another server with a replica, or on the same. A replica is promoted once, or
// never; server 0 does not know then: it answers, reads and writes, and what it writes is never durable. Every process
// may ask any server at any time. A bucket may move to a third server.
//
// Somebody calls `revoke` for S0; or, in the scope `versions`, `update_claims`, after another such call has changed the
// row and crashed. The call may raise at any time, and is made again. The property: NO CHECK THAT BEGINS AFTER THE CALL
// RETURNED IS ANSWERED BY WHAT WAS SO BEFORE, NOR IS A JWT ACCEPTED THAT WAS MINTED FROM IT. What the lease model shows
// already (steps within a check, within a heartbeat, within a fill) is one step here.
//
//   replicas_state.hpp    what there is to know of a moment
//   replicas_servers.hpp  replication, failover, eras, names
//   replicas_node.hpp     heartbeat, join, reads, keys
//   replicas_alike.hpp    what need not be told apart
//   replicas.hpp          the call, its barrier, the checks

#pragma once

#include "replicas_alike.hpp"

class Replicas : public ReplicasAlike {
 public:
  using ReplicasAlike::ReplicasAlike;

  template <class Go>
  void next(const State& s, Go& go) const {
    tick(s, go);
    servers(s, go);
    call(s, go);
    node(s, go);
    check(s, go);
  }

  std::vector<GoalText> goals() const {
    std::vector<GoalText> all = {{RAISED, "the call raises after it has written, and is made again"}};
    if (!scope_.joins_later) all.push_back({OVER_LIVE, "the call returns while the node's lease is live"});
    if (!scope_.joins_later) all.push_back({YES_BEFORE, "S0 is answered by yes from memory before the call"});
    if (scope_.home_fails) all.push_back({OVER_HOME, "the call returns after a failover of home"});
    if (scope_.home_fails) all.push_back({OTHER_ERA, "the call hears that another era has begun"});
    if (scope_.rows_fail) all.push_back({OVER_ROWS, "the call returns after a failover of the rows"});
    if (scope_.moves) all.push_back({OVER_MOVE, "the call returns after the bucket has moved"});
    if (scope_.versions) all.push_back({COLD_YES, "the node has the new version after the call returned"});
    if (scope_.jwts) all.push_back({JWT_GONE, "a JWT is answered by no after the call returned"});
    return all;
  }

 private:
  template <class Go>
  void tick(const State& s, Go& go) const {
    State t = s;
    t.node.lease = less(s.node.lease);
    if (s.node.beat != IDLE) t.node.age = more(s.node.age);
    for (Home& h : t.home) h.young = less(h.young);
    if (s.revoker.phase == WAITING) t.revoker.since = more(s.revoker.since);
    go(t, "tick");
  }

  // --- the call ---

  template <class Go>
  void call(const State& s, Go& go) const {
    const bool row_first = with(ROW_BEFORE_LOG);
    const bool durable = !s.revoker.alone || !with(DURABLE_BEFORE_RETURN);
    State t = s;
    switch (s.revoker.phase) {
      case BEFORE:
        know_era(s, go);
        for (int x = 0; x < 3; ++x) write_row(s, x, go);
        if (!row_first) {
          t.revoker.phase = ROW_DURABLE;
          t.revoker.name = row_name(s, rows_promoted(s));
          t.revoker.wrote = 3;
          go(t, "the call begins, and will write the log before the row");
        }
        break;
      case ROW_WRITTEN:
        if (!durable) break;
        if (row_first) {
          t.revoker.phase = ROW_DURABLE;
          t.revoker.alone = 0;
          go(t, "the call hears that its row is durable");
        } else {
          wait(t, s, "the call hears that its row is durable, and waits for the node", go);
        }
        break;
      case ROW_DURABLE:
        for (int k = 0; k < 2; ++k) append_line(s, k, go);
        for (int x = 0; x < 3; ++x) settle(s, x, go);
        break;
      case APPENDED:
        if (!durable) break;
        t.revoker.seen = after_writing(s.revoker.seen, s.revoker.epoch);
        t.revoker.epoch = 0;
        if (row_first) {
          wait(t, s, "the call hears that its line is durable, and waits for the node", go);
        } else {
          for (int x = 0; x < 3; ++x) write_row(t, x, go);
        }
        break;
      case WAITING:
        for (int k = 0; k < 2; ++k) look(s, k, go), prove_home(s, k, go);
        break;
      default: break;
    }
    if (s.revoker.phase != BEFORE && s.revoker.phase != RETURNED) raise(s, "the call raises; it is made again", go);
  }

  template <class Go>
  void raise(const State& s, const char* what, Go& go) const {
    State t = s;
    t.revoker = Revoker{};
    t.revoker.seen = s.revoker.seen;
    t.revoker.era = s.revoker.era;
    go.reached(RAISED);
    go(t, what);
  }

  // The era is that of the process's own node, whose heartbeats are durable.
  template <class Go>
  void know_era(const State& s, Go& go) const {
    for (int k = 0; k < 2; ++k) {
      const int epoch = s.home[k].epoch;
      if (!answers(s, k) || !proves_epoch(s, k) || (s.revoker.era == era_of(epoch) && s.revoker.seen == epoch))
        continue;
      State t = s;
      t.revoker.seen = std::max<int>(s.revoker.seen, epoch);
      t.revoker.era = era_of(epoch);
      go(t, "the caller's process sees era %d on server %d of home", era_of(epoch), k);
    }
  }

  template <class Go>
  void write_row(const State& s, int x, Go& go) const {
    const int before = row(s, x);
    if (!runs_at_rows(s, x) || before == ABSENT) return;
    const int after = !scope_.versions ? TOMBSTONE : before == V1 ? V2 : V3;
    State t = s;
    set_row(t, x, after);
    Revoker& me = t.revoker;
    me.phase = ROW_WRITTEN;
    me.name = row_name(s, x);
    me.wrote = void_up_to(after);
    me.alone = alone_at_rows(x) && (before != after || with(WRITE_BEFORE_WAITING));
    go(t,
       after == before   ? "the call finds done what it would do on server %d of the rows"
       : scope_.versions ? "the call changes S0's claims on server %d of the rows, to version %d"
                         : "the call makes S0's row a tombstone on server %d of the rows",
       x, version(after));
  }

  // The name that is not registered is registered first (by the registrar), and who answers there now vouches.
  template <class Go>
  void settle(const State& s, int x, Go& go) const {
    if (!runs_at_rows(s, x) || !is_good_rows(s, x) || s.revoker.name == row_name(s, x)) return;
    State t = s;
    t.revoker.name = row_name(s, x);
    go(t, "the call finds that server %d of the rows, which proves it, answers for S0's bucket now", x);
  }

  template <class Go>
  void append_line(const State& s, int k, Go& go) const {
    const Home& h = s.home[k];
    if (!answers(s, k) || h.head >= scope_.lines) return;
    if (with(LOG_ONLY_UNDER_REGISTERED_NAME) && !counts(h.name, s.revoker.name)) return;
    State t = s;
    Revoker& me = t.revoker;
    append(t.home[k], me.wrote);
    me.phase = APPENDED;
    me.name = me.wrote = 0;
    me.alone = alone_at_home(k);
    me.position = t.home[k].head;
    me.epoch = h.epoch;
    go(t, "the call appends its line on server %d of home, position %d", k, me.position);
  }

  template <class Go>
  void wait(State t, const State& s, const char* what, Go& go) const {
    Revoker& me = t.revoker;
    me.phase = WAITING;
    me.name = me.alone = me.since = me.wrote = 0;
    me.position = s.revoker.position;
    go(t, what);
  }

  template <class Go>
  void look(const State& s, int k, Go& go) const {
    const Home& h = s.home[k];
    const Revoker& was = s.revoker;
    if (!reads_home(s, k) || !believes(was.seen, h.epoch)) return;
    State t = s;
    Revoker& me = t.revoker;
    me.seen = after_reading(was.seen, h.epoch);
    if (era_of(h.epoch) != was.era) {
      go.reached(OTHER_ERA);
      raise(t, "the call finds another era, and raises; it is made again", go);
      return;
    }
    const bool behind = h.row && !(h.of_epoch == h.epoch && h.applied >= was.position);
    const int row = h.id ? ROW_1 : ROW_0;
    if (was.awaits == NOT_LISTED) me.awaits = behind ? row : NOBODY;
    else if (!behind || was.awaits != row) me.awaits = NOBODY;
    const bool settled = !h.young || !with(NEW_EPOCH_WAITS_OUT_THE_LEASE);
    if ((me.awaits == NOBODY && settled) || was.since >= scope_.lease) {
      note_return(s, go);
      me = Revoker{};
      me.phase = RETURNED;
      go(t, "the call reads the nodes on server %d of home, and RETURNS", k);
    } else if (me.awaits != was.awaits || me.seen != was.seen) {
      go(t, "the call reads the nodes on server %d of home, and waits", k);
    }
  }

  template <class Go>
  void prove_home(const State& s, int k, Go& go) const {
    if (!answers(s, k) || !proves_epoch(s, k) || !hears_less(s, s.revoker.seen)) return;
    State t = s;
    t.revoker.seen = with(PROOF_NAMES_ITS_EPOCH) ? int(s.home[k].epoch) : 0;
    if (t.revoker.seen == s.revoker.seen) return;
    go(t, "the call is answered under a lower epoch; a write is durable on server %d of home, as a proof", k);
  }

  template <class Go>
  void note_return(const State& s, Go& go) const {
    if (home_promoted(s)) go.reached(OVER_HOME);
    if (rows_promoted(s)) go.reached(OVER_ROWS);
    if (s.rest.moved) go.reached(OVER_MOVE);
    if (s.node.lease) go.reached(OVER_LIVE);
  }

  // --- check ---

  template <class Go>
  void check(const State& s, Go& go) const {
    const Node& me = s.node;
    if (scope_.moves && !scope_.slow) settles(s, go);
    const bool live = me.member && me.lease;
    if (s.revoker.phase != RETURNED) {
      if (live && me.has && s.revoker.phase == BEFORE) go.reached(YES_BEFORE);
      return;
    }
    if (live && me.has && !is_old(me.has)) go.reached(COLD_YES);
    if (live && me.key && s.rest.jwt && !accepts_jwt(s)) go.reached(JWT_GONE);
    if (live && is_old(me.has))
      go.accepts("CHECK of the session: the lease is live, S0 of before is in memory -> ACCEPTED");
    if (live && accepts_jwt(s)) go.accepts("CHECK of the JWT: the lease is live, nothing is against it -> ACCEPTED");
    if (live && me.read == ROW_READ && me.checks && is_old(me.row))
      go.accepts("CHECK of the session: the lease is live, the row that was read is that of before -> ACCEPTED");
  }

  // Not more epochs than there were reasons. (Who is slow may register a name once more than there was need.)
  template <class Go>
  void settles(const State& s, Go& go) const {
    const int reasons = scope_.unnoticed + s.rest.rows_promoted + s.rest.moved;
    for (int k = 0; k < 2; ++k) {
      if (s.home[k].epoch % SUBS > reasons)
        go.accepts("%d new epochs for %d reasons: two buckets take each other's name -> IT NEVER ENDS",
                   s.home[k].epoch % SUBS, reasons);
    }
  }
};
