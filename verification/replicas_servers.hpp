// Replicated and split stores: servers, failover, eras, and who answers for what.

#pragma once

#include "replicas_state.hpp"

class ReplicasServers : public ReplicasState {
 public:
  enum Goal { OVER_HOME, OVER_ROWS, OVER_MOVE, OVER_LIVE, RAISED, OTHER_ERA, YES_BEFORE, COLD_YES, JWT_GONE, ALL };

 protected:
  using ReplicasState::ReplicasState;

  template <class Go>
  void servers(const State& s, Go& go) const {
    replicate(s, go);
    fail_over(s, go);
    if (scope_.moves) move(s, go);
    begin_era(s, go);
    if (scope_.slow) registrar(s, go);
    register_at_once(s, go);
    others(s, go);
  }

  // Does anybody answer under a lower epoch than this?
  bool hears_less(const State& s, int seen) const {
    return (answers(s, 0) && s.home[0].epoch < seen) || (answers(s, 1) && s.home[1].epoch < seen);
  }

  // --- replication ---

  template <class Go>
  void replicate(const State& s, Go& go) const {
    if (!home_promoted(s) && (scope_.home_fails || scope_.one_server)) {
      State t = s;
      home_is_durable(t);
      if (scope_.one_server) rows_are_durable(t);
      go(t, "home's replica has all that was written: it is durable");
    }
    if (!scope_.one_server && !rows_promoted(s) && scope_.rows_fail) {
      State t = s;
      rows_are_durable(t);
      go(t, "the replica of the rows has all that was written: it is durable");
    }
  }

  void home_is_durable(State& t) const {
    t.home[1] = t.home[0];
    t.node.alone = 0;
    if (t.revoker.phase == APPENDED) t.revoker.alone = 0;
    if (t.registrar.era == 1) t.registrar.era = 2;
  }

  void rows_are_durable(State& t) const {
    t.rest.row1 = t.rest.row0;
    if (t.revoker.phase == ROW_WRITTEN) t.revoker.alone = 0;
    t.registrar.alone = 0;
  }

  // Is what is written there, just now, on server 0 alone, so that it may be lost?
  bool alone_at_home(int k) const { return !k && (scope_.home_fails || scope_.one_server); }
  bool alone_at_rows(int x) const { return !x && (scope_.rows_fail || scope_.one_server); }

  template <class Go>
  void fail_over(const State& s, Go& go) const {
    if (scope_.home_fails && !home_promoted(s)) {
      State t = s;
      t.rest.home_promoted = 1;
      go(t, "FAILOVER of home: server 1 is promoted; server 0 does not know");
    }
    if (scope_.rows_fail && !scope_.one_server && !rows_promoted(s) && !s.rest.moved) {
      State t = s;
      t.rest.rows_promoted = 1;
      go(t, "FAILOVER of the rows: server 1 is promoted; server 0 does not know");
    }
  }

  // The owner and its replica know that they have given it away; who was deposed before does not.
  template <class Go>
  void move(const State& s, Go& go) const {
    if (s.rest.moved) return;
    State t = s;
    t.rest.moved = 1;
    t.rest.row2 = row(s, rows_promoted(s));
    if (!rows_promoted(s)) t.rest.row0 = ABSENT;
    t.rest.row1 = ABSENT;
    // What was written before it moved is durable where it is now.
    if (!rows_promoted(s)) {
      if (t.revoker.phase == ROW_WRITTEN) t.revoker.alone = 0;
    }
    go(t, "the bucket of S0 MOVES from server %d to server 2", rows_promoted(s));
  }

  // --- home's own history: a new era ---

  template <class Go>
  void begin_era(const State& s, Go& go) const {
    for (int k = 0; k < 2; ++k) {
      if (!runs_at_home(s, k) || s.home[k].known == home_name(s, k) || !with(NEW_HISTORY_NEW_ERA)) continue;
      if (k || with(ERA_COUNTS_WHEN_DURABLE) || s.registrar.era == 2) {
        draw_era(s, k, go);
      }
    }
    if (!with(ERA_COUNTS_WHEN_DURABLE) && !s.registrar.era && s.home[0].known == OF_BEFORE) {
      State t = s;
      t.registrar.era = alone_at_home(0) ? 1 : 2;
      go(t, "somebody finds that server 0 of home has another history, and writes something there as a proof");
    }
    if (with(ERA_COUNTS_WHEN_DURABLE) && s.registrar.era == 2) {
      State t = s;
      t.registrar.era = 0;
      t.home[0].sure = 1;
      go(t, "the era of server 0 of home is durable, and counts");
    }
  }

  // At random, above its own: no two are alike, and only their order counts. The first that is drawn is 3; where the
  // other server did not know of it, the second may be below.
  template <class Go>
  void draw_era(const State& s, int k, Go& go) const {
    const int own = era_of(s.home[k].epoch), other = era_of(s.home[1 - k].epoch);
    if (!own && other) new_era(s, k, 1, go);
    new_era(s, k, own || other ? 5 : 3, go);
  }

  template <class Go>
  void new_era(const State& s, int k, int era, Go& go) const {
    State t = s;
    Home& h = t.home[k];
    const int was = h.known;
    h.known = home_name(s, k);
    h.epoch = era * SUBS;
    h.young = scope_.lease;
    if (scope_.one_server) {
      if (h.name == was) h.name = h.known;
      if (h.beside == was) h.beside = h.known;
    } else {
      h.name = h.beside = NO_NAME;  // none counts before it proves itself anew
    }
    if (with(KEYS_GO_WITH_A_NAME)) h.key = 0;
    if (!k) t.registrar.era = !with(ERA_COUNTS_WHEN_DURABLE) ? 0 : alone_at_home(0) ? 1 : 2;
    h.sure = k;
    go(t, "a NEW ERA, %d, begins on server %d of home", era, k);
  }

  // --- which server answers for the bucket of S0 ---

  bool counts(int registered, int name) const {
    if (!with(NAMES_BY_BUCKET) && name == MOVED_TO) return true;  // that shard has the name that is known of it
    return registered == name;
  }

  template <class Go>
  void registrar(const State& s, Go& go) const {
    const bool read_first = with(READ_BEFORE_PROOF);
    switch (s.registrar.phase) {
      case AT_REST: read_first ? look(s, LOOKED, go) : prove(s, PROVING, go); break;
      case LOOKED: read_first ? prove(s, PROVING, go) : set(s, go); break;
      case PROVING:
        if (s.registrar.alone && with(PROOF_BEFORE_REGISTERING)) break;
        read_first ? set(s, go) : look(s, LOOKED, go);
        break;
      default: break;
    }
    if (s.registrar.phase != AT_REST) {
      State t = s;
      rest(t);
      go(t, "who wanted to register a name gives up");
    }
  }

  static void rest(State& t) {
    const int era = t.registrar.era;
    t.registrar = Registrar{};
    t.registrar.era = era;
  }

  template <class Go>
  void look(const State& s, Registering then, Go& go) const {
    for (int k = 0; k < 2; ++k) {
      if (!answers(s, k)) continue;
      State t = s;
      t.registrar.phase = then;
      t.registrar.was = s.home[k].name;
      t.registrar.epoch = s.home[k].epoch;
      go(t, "somebody reads on server %d of home which name is registered for S0's bucket: %d", k, s.home[k].name);
    }
  }

  template <class Go>
  void prove(const State& s, Registering then, Go& go) const {
    for (int x = 0; x < 3; ++x) {
      if (!runs_at_rows(s, x) || row(s, x) == ABSENT) continue;
      if (with(READ_BEFORE_PROOF) && row_name(s, x) == s.registrar.was) continue;
      State t = s;
      t.registrar.phase = then;
      t.registrar.name = row_name(s, x);
      t.registrar.alone = alone_at_rows(x);
      go(t, "it writes something on server %d of the rows, named %d, as a proof", x, t.registrar.name);
    }
  }

  template <class Go>
  void set(const State& s, Go& go) const {
    for (int k = 0; k < 2; ++k) {
      if (!answers(s, k)) continue;
      const Home& h = s.home[k];
      if (with(REGISTER_BY_COMPARE) && h.name != s.registrar.was) continue;
      if ((with(REGISTER_IN_ITS_EPOCH) || h.name != NO_NAME) && h.epoch != s.registrar.epoch) continue;
      State t = s;
      rest(t);
      rename(s, t, k, s.registrar.name, go);
    }
  }

  // Somebody does all of it in a row, on a server that is what it says.
  template <class Go>
  void register_at_once(const State& s, Go& go) const {
    for (int x = 0; x < 3; ++x) {
      if (!runs_at_rows(s, x) || !is_good_rows(s, x)) continue;
      for (int k = 0; k < 2; ++k) {
        if (answers(s, k)) rename(s, s, k, row_name(s, x), go);
      }
    }
    if (!scope_.moves) return;
    const int x = rows_promoted(s);
    for (int k = 0; k < 2; ++k) {
      if (!answers(s, k) || s.home[k].beside == row_name(s, x) || !has_epochs(s.home[k])) continue;
      State t = s;
      Home& h = t.home[k];
      const int was = h.beside;
      h.beside = row_name(s, x);
      if (h.name == was && (!s.rest.moved || !with(RENAME_WHAT_IS_THERE))) h.name = h.beside;
      if (was != NO_NAME) next_epoch(h);
      go(t, "a bucket beside it is found on server %d of the rows: its name is registered on server %d of home", x, k);
    }
  }

  template <class Go>
  void rename(const State& s, State t, int k, int name, Go& go) const {
    if (counts(s.home[k].name, name) || !has_epochs(s.home[k])) return;
    Home& h = t.home[k];
    const int was = h.name;
    h.name = name;
    if (h.beside == was && (name != MOVED_TO || !with(RENAME_WHAT_IS_THERE))) h.beside = name;
    if (was != NO_NAME) next_epoch(h);
    go(t,
       was == NO_NAME ? "the name %d, the first, is registered for S0's bucket on server %d of home"
                      : "the name %d is registered for S0's bucket on server %d of home, and with it a new epoch",
       name, k);
  }

  static bool has_epochs(const Home& h) { return h.epoch % SUBS < SUBS - 1; }
  void next_epoch(Home& h) const {
    h.epoch = h.epoch + 1;
    if (with(KEYS_GO_WITH_A_NAME)) h.key = 0;
  }

  // --- others ---

  template <class Go>
  void others(const State& s, Go& go) const {
    for (int k = 0; k < 2; ++k) {
      if (!answers(s, k)) continue;
      if (scope_.jwts && !s.home[k].key) {
        State t = s;
        t.home[k].key = 1 + s.home[k].epoch;
        go(t, "somebody adds a signing key on server %d of home", k);
      }
      if (scope_.other && s.home[k].head < scope_.lines) {
        State t = s;
        append(t.home[k], 0);
        go(t, "a change of another session is appended on server %d of home, position %d", k, t.home[k].head);
      }
    }
    if (!scope_.versions) return;
    for (int x = 0; x < 3; ++x) {
      if (!runs_at_rows(s, x) || row(s, x) != V1) continue;
      State t = s;
      set_row(t, x, V2_LOST);
      go(t, "somebody changes S0's claims on server %d of the rows, to a version 2, and crashes", x);
    }
  }
};
