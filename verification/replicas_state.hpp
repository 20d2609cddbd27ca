// Replicated and split stores: what takes part, and what there is to know of a moment. replicas.hpp says what it is.

#pragma once

#include <algorithm>

#include "explore.hpp"
#include "guards.hpp"

class ReplicasState {
 public:
  // What takes part.
  struct Scope {
    int lease = 1;             // ticks
    bool one_server = false;   // rows and log are on the same server, and fail over together
    bool home_fails = false;   // home's replica is promoted, once
    bool rows_fail = false;    // the replica of the shard of rows is promoted, once
    bool moves = false;        // S0's bucket moves to another shard, once
    bool unnoticed = false;    // the first servers were promoted themselves, and home does not know it yet
    bool unnamed = false;      // no name is registered at first
    bool joins_later = false;  // the node joins when the call has returned
    bool jwts = false;         // JWTs are minted
    bool versions = false;     // not a revocation: a change of claims, after one that may be lost
    bool slow = false;         // who registers a name may be slow, so that others come between its steps
    bool recalls = false;      // a read may use the registered name that was heard before in this epoch
    bool other = false;        // a change of another session
    int lines = 3;             // of the log, at most
  };

  enum Content { ABSENT, V1, V2_LOST, V2, V3, TOMBSTONE };  // of the row; V2_LOST: of a call that raised, or crashed
  enum Name { FIRST, PROMOTED, MOVED_TO, OF_BEFORE, NO_NAME };  // of histories: of server 0, of server 1, of server 2
  enum Phase { BEFORE, ROW_WRITTEN, ROW_DURABLE, APPENDED, WAITING, RETURNED };
  enum Beat { IDLE, SENT, HEARD, JOIN_SENT, JOIN_HEARD, JOINED, TAIL_READ };
  enum Reading { NO_READ, BEGUN, NAME_READ, ROW_READ };
  enum Registering { AT_REST, LOOKED, PROVING, PROVED_FIRST };
  enum Awaits { NOT_LISTED, ROW_0, ROW_1, NOBODY };

  static constexpr int SUBS = 4;  // epochs of one era

  struct Home {             // one of its two servers
    SMALL(u64, known, 2);   // the name that it takes for its own
    SMALL(u64, epoch, 5);   // era * 4 + number
    SMALL(u64, young, 2);   // ticks until its era is one lease old
    SMALL(u64, name, 3);    // registered for the bucket of S0, or (without names-by-bucket) for the first shard
    SMALL(u64, beside, 3);  // registered for a bucket that stays on the first shard
    SMALL(u64, head, 2);
    SMALL(u64, line1, 2);  // what each line says of S0: 0 nothing, 1 and 2 versions up to it are void, 3 all
    SMALL(u64, line2, 2);
    SMALL(u64, line3, 2);
    SMALL(u64, row, 1);  // of the node: there
    SMALL(u64, id, 1);
    SMALL(u64, applied, 2);
    SMALL(u64, of_epoch, 5);
    SMALL(u64, key, 5);   // 0: none; else 1 + the epoch that it was made in
    SMALL(u64, sure, 1);  // something written after its era began was durable
    SPARE(u64, 26);
  };
  struct Revoker {
    SMALL(u32, phase, 3);
    SMALL(u32, seen, 5);   // the highest epoch that its process has seen
    SMALL(u32, era, 3);    // as it was known before the call
    SMALL(u32, name, 2);   // under which the row was written
    SMALL(u32, alone, 1);  // what it wrote is on server 0 alone
    SMALL(u32, position, 2);
    SMALL(u32, epoch, 5);  // of its line
    SMALL(u32, since, 2);
    SMALL(u32, awaits, 2);
    SMALL(u32, wrote, 2);  // what its line will say
    SPARE(u32, 5);
  };
  struct Registrar {
    SMALL(u16, phase, 2);
    SMALL(u16, was, 3);    // the registered name that it read
    SMALL(u16, epoch, 5);  // … in this epoch
    SMALL(u16, name, 2);   // the name that was proved
    SMALL(u16, alone, 1);  // its proof is on server 0 alone
    SMALL(u16, era, 2);    // the same for home's own: 1 a write under way as a proof, 2 it was durable
    SPARE(u16, 1);
  };
  struct Node {
    SMALL(u64, member, 1);
    SMALL(u64, beat, 3);
    SMALL(u64, age, 2);
    SMALL(u64, alone, 1);
    SMALL(u64, id, 1);
    SMALL(u64, epoch, 5);  // of what is in memory
    SMALL(u64, applied, 2);
    SMALL(u64, lease, 2);
    SMALL(u64, has, 3);    // S0 in memory
    SMALL(u64, knows, 2);  // as a line says it
    SMALL(u64, key, 5);
    SMALL(u64, seen, 5);      // the highest epoch that this process has seen
    SMALL(u64, told, 1);      // the answer: you have lost your place
    SMALL(u64, of_epoch, 5);  // … or its epoch
    SMALL(u64, upto, 2);      // … and changes
    SMALL(u64, brings, 2);
    SMALL(u64, read, 2);    // a read of S0 under way
    SMALL(u64, name, 3);    // … the name that counts
    SMALL(u64, row, 3);     // … the row
    SMALL(u64, checks, 1);  // … is for a check that began after the call returned
    SMALL(u64, marked, 1);
    SMALL(u64, recalls, 1);   // what it has last heard of the registered name, in the epoch that it has seen …
    SMALL(u64, recalled, 3);  // … is this
    SPARE(u64, 8);
  };
  struct Rest {
    SMALL(u32, home_promoted, 1);
    SMALL(u32, rows_promoted, 1);
    SMALL(u32, moved, 1);
    SMALL(u32, row0, 3);
    SMALL(u32, row1, 3);
    SMALL(u32, row2, 3);
    SMALL(u32, jwt, 3);  // what it was minted from
    SMALL(u32, kid, 5);
    SMALL(u32, raised, 1);   // for a goal: the call has raised
    SMALL(u32, retried, 1);  // for a goal: its process was told of another era
    SPARE(u32, 10);
  };
  struct State {
    Home home[2];
    Node node;
    Revoker revoker;
    Rest rest;
    Registrar registrar;
    u8 zero[6];
  };

  ReplicasState(const Scope& scope, Guards without) : scope_(scope), without_(without) {}

  State first() const {
    State s{};
    const bool home = scope_.unnoticed && scope_.home_fails;
    const bool rows = scope_.unnoticed && (scope_.rows_fail || scope_.one_server);
    for (Home& h : s.home) {
      h.known = home ? OF_BEFORE : FIRST;
      h.name = h.beside = scope_.unnamed ? NO_NAME : rows ? OF_BEFORE : FIRST;
      h.key = 1;
      h.sure = 1;
    }
    s.rest.row0 = s.rest.row1 = V1;
    return s;
  }

 protected:
  bool with(Guard guard) const { return !without_.has(guard); }
  static int less(int ticks) { return ticks - (ticks > 0); }
  int more(int ticks) const { return std::min(ticks + 1, scope_.lease); }
  int left(int age) const { return scope_.lease - std::min(age, scope_.lease); }

  // --- servers ---

  // In one_server the servers of home are those of the rows.
  bool home_promoted(const State& s) const { return s.rest.home_promoted; }
  bool rows_promoted(const State& s) const { return scope_.one_server ? s.rest.home_promoted : s.rest.rows_promoted; }

  // The name of the history that a server belongs to. A replica has that of its primary.
  int home_name(const State& s, int k) const { return k && home_promoted(s) ? PROMOTED : FIRST; }
  int row_name(const State& s, int x) const { return x == 2 ? MOVED_TO : x && rows_promoted(s) ? PROMOTED : FIRST; }

  // What is written on server 1 after its promotion, or on server 2, is durable at once: it has a replica of its own.
  bool runs_at_home(const State& s, int k) const { return !k || home_promoted(s); }
  bool runs_at_rows(const State& s, int x) const { return x == 2 ? s.rest.moved : !x || rows_promoted(s); }

  // Whose writes can be durable.
  bool is_good_home(const State& s, int k) const { return k == (home_promoted(s) ? 1 : 0); }
  bool is_good_rows(const State& s, int x) const { return x == (s.rest.moved ? 2 : rows_promoted(s) ? 1 : 0); }

  // Somebody writes there, and hears that it is durable: then its epoch is.
  bool proves_epoch(const State& s, int k) const {
    return is_good_home(s, k) && (k || !scope_.home_fails || s.home[0].epoch == s.home[1].epoch);
  }

  bool answers(const State& s, int k) const {
    if (!s.home[k].sure && with(ERA_COUNTS_WHEN_DURABLE)) return false;
    return runs_at_home(s, k) && (s.home[k].known == home_name(s, k) || !with(NEW_HISTORY_NEW_ERA));
  }
  bool reads_home(const State& s, int k) const {
    return answers(s, k) || (!with(RUN_ON_PRIMARY) && s.home[k].known == home_name(s, k));
  }

  static int row(const State& s, int x) { return x == 2 ? s.rest.row2 : x ? s.rest.row1 : s.rest.row0; }
  static void set_row(State& t, int x, int content) {
    if (x == 2) t.rest.row2 = content;
    else if (x) t.rest.row1 = content;
    else t.rest.row0 = content;
  }

  // --- epochs ---

  static int era_of(int epoch) { return epoch / SUBS; }

  // Does a process that has seen one epoch believe an answer of another, for which nothing had to be durable?
  bool believes(int seen, int epoch) const { return epoch >= seen || !with(HIGHEST_EPOCH_ONLY); }
  // What it has seen when it was given an answer that names its epoch; one that is only an acknowledgement may not.
  static int after_reading(int seen, int epoch) { return std::max(seen, epoch); }
  int after_writing(int seen, int epoch) const {
    return with(EVERY_ANSWER_NAMES_ITS_EPOCH) ? std::max(seen, epoch) : seen;
  }

  // --- log ---

  static int line(const Home& h, int position) { return position == 1 ? h.line1 : position == 2 ? h.line2 : h.line3; }
  static int lines(const Home& h, int after) {
    int most = 0;
    for (int p = after + 1; p <= h.head; ++p) most = std::max(most, line(h, p));
    return most;
  }
  static void append(Home& h, int what) {
    h.head = h.head + 1;
    if (h.head == 1) h.line1 = what;
    else if (h.head == 2) h.line2 = what;
    else h.line3 = what;
  }

  // --- content ---

  bool is_old(int content) const { return content == V1 || content == V2_LOST; }
  static int version(int content) { return content == V1 ? 1 : content == V3 ? 3 : 2; }
  static int void_up_to(int content) { return content == TOMBSTONE ? 3 : content == V3 ? 2 : 1; }

  Scope scope_;
  const Guards without_;
};
