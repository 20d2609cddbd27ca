// The lease model: what takes part, and what there is to know of a moment. lease.hpp says what the model is.

#pragma once

#include <algorithm>

#include "explore.hpp"
#include "guards.hpp"

class LeaseState {
 public:
  // What takes part. A larger scope shows more and costs more.
  struct Scope {
    int nodes = 1, revokers = 1;
    int others = 0;             // changes of other sessions that nobody here waits for
    int lease = 2, margin = 0;  // ticks
    bool sessions = true;       // nodes keep sessions in memory (else they are verifiers: JWTs only)
    bool rides = false;         // a check may ride on a read under way
    bool jwts = false;          // JWTs of S0 are out
    bool late = false;          // a request given up may still arrive, as may a second copy of one
    bool crashes = false;       // nodes crash, or leave, and start anew
    bool sweeps = false;        // rows of silent nodes are deleted
    bool trims = false;         // the log is trimmed at any time
    bool pages = false;         // an answer carries one change
    bool drift = false;         // a node's clock may lose one tick per lease, or a revoker's gain one
    bool new_epoch = false;     // once: the store is emptied, restored, restarted; or revoke_everyone
    bool two_slots = false;     // row and log cannot share a transaction (Valkey Cluster)
    bool same_session = false;  // revoker 1 revokes S0, too
  };

  static constexpr int NODES = 2, REVOKERS = 2, ROWS = 3, NOBODY = ROWS;
  static constexpr int ALL_OF_IT = 1 << ROWS;  // in a revoker's list: "nobody's answer will do, wait the lease out"

  enum Member { OUTSIDE, JOINING, MEMBER };
  enum Beat { IDLE, SENT, HALF_DONE, ANSWERED, APPLIED, NEXT_PAGE };
  enum Filling { NO_FILL, ASKED, IN_HAND, TESTED, OWN_WRITE };
  enum Request { NO_REQUEST, A_BEAT, A_JOIN };
  enum Phase { BEFORE, EARLY, COMMITTED, WAITING, RETURNED };
  enum NewEpoch { EMPTIED, RESTORED, RESTARTED, EVERYONE };
  enum Check { NO_CHECK, SESSION, JWT, RIDING, SESSION_MEMORY_FIRST, JWT_MEMORY_FIRST };

  struct Row {  // of a node, in the store
    SMALL(u8, there, 1);
    SMALL(u8, applied, 2);
    SMALL(u8, epoch, 1);
    SMALL(u8, still, 3);   // since when somebody who watches the counter has seen it stand still
    SMALL(u8, doomed, 1);  // only without sweep-by-compare: somebody has looked and will delete
  };
  struct Late {  // a request that nobody waits for any more
    SMALL(u16, kind, 2);
    SMALL(u16, row, 2);
    SMALL(u16, applied, 2);
    SMALL(u16, epoch, 1);
    SMALL(u16, is_copy, 1);  // only without counter-never-repeats: of a request that has been processed …
    SMALL(u16, age, 3);      // … that long ago
    SPARE(u16, 5);
  };
  struct Node {
    SMALL(u32, member, 2);
    SMALL(u32, row, 2);
    SMALL(u32, epoch, 1);
    SMALL(u32, applied, 2);
    SMALL(u32, lease, 3);      // ticks until the deadline
    SMALL(u32, has_s0, 1);     // S0 is in memory
    SMALL(u32, knows, 1);      // in memory: S0 is revoked (negative knowledge)
    SMALL(u32, fill, 3);       // a read of S0 from the store that may end in memory
    SMALL(u32, marked, 1);     // only without ride-only-unmarked: a marked fill is as good as gone otherwise
    SMALL(u32, beat, 3);       // a heartbeat under way
    SMALL(u32, age, 3);        // ticks since the clock was read for it
    SMALL(u32, upto, 2);       // its answer: the changes up to here
    SMALL(u32, goal, 2);       // … the head that its first page named
    SMALL(u32, brings, 1);     // … one of them names S0
    SMALL(u32, told, 1);       // … or: you have lost your place
    SMALL(u32, of_epoch, 1);   // … and a join's answer: the log's epoch
    SMALL(u32, tick_lost, 3);  // drift: ticks until the clock may lose one again
  };
  struct Revoker {
    SMALL(u16, phase, 3);
    SMALL(u16, position, 2);
    SMALL(u16, epoch, 1);
    SMALL(u16, since, 3);  // ticks since the commit, on its own clock
    SMALL(u16, list, 4);   // rows it still waits for
    SMALL(u16, asked, 3);  // only without share-only-a-later-list: the rows it read
  };
  struct Store {
    SMALL(u16, log, 3);    // bit p - 1: position p is committed …
    SMALL(u16, of_s0, 3);  // … and names S0
    SMALL(u16, trimmed, 2);
    SMALL(u16, alive, 1);  // S0's row is there
    SMALL(u16, epoch, 1);
    SMALL(u16, check, 3);  // not the store's: a check that began after a revocation returned …
    SMALL(u16, at, 1);     // … and its node
    SPARE(u16, 2);
  };
  struct State {
    Node node[NODES];
    Late late[NODES];
    Revoker revoker[REVOKERS];
    Store store;
    Row row[ROWS];
    u8 tick_gained;  // drift: ticks until a revoker's clock may gain one again
    u8 unsettled;    // ticks until the epoch has been watched for a whole lease
    u8 keys_stay;    // the new epoch has not revoked the keys of the first
  };

  // What must be met: numbers for goals().
  enum Goal { RETURN_OVER_LIVE, RETURN_OVER_SILENT, YES_BEFORE, NO_AFTER, LOST_PLACE, NEXT_PAGE_ASKED };

  LeaseState(const Scope& scope, Guards without) : scope_(scope), without_(without) {
    if (!with(MARGIN_COVERS_DRIFT)) scope_.margin = 0;
  }

  State first() const {
    State s{};
    s.store.alive = 1;
    for (Node& n : s.node) n.row = NOBODY;
    for (Late& l : s.late) l.row = NOBODY;
    return s;
  }

  // Nodes are alike, and an id is only a name: of the states that differ in such names alone, one stands for all.
  State canonical(const State& s) const {
    State a = rows_in_order(s);
    if (scope_.nodes < 2 || !with(ONE_ID_ONE_PROCESS) || !with(OWN_NODE_APPLIES_TOO)) return a;
    State b = s;
    std::swap(b.node[0], b.node[1]), std::swap(b.late[0], b.late[1]);
    if (b.store.check) b.store.at = 1 - b.store.at;
    b = rows_in_order(b);
    return words_of(b) < words_of(a) ? b : a;
  }

 protected:
  bool with(Guard guard) const { return !without_.has(guard); }
  int whole_wait() const { return scope_.lease + scope_.margin; }
  int nodes_lease() const { return scope_.lease - scope_.margin + (with(ONE_LEASE_LENGTH) ? 0 : 1); }
  static int less(int ticks) { return ticks - (ticks > 0); }
  static int more(int ticks, int most) { return std::min(ticks + 1, most); }

  // --- log ---

  static int head(const State& s) { return s.store.log & 4 ? 3 : s.store.log & 2 ? 2 : s.store.log & 1; }

  // Is there, among the changes of these positions, one that names S0?
  static bool names_s0(const State& s, int after, int upto) {
    for (int p = after + 1; p <= upto; ++p) {
      if (s.store.log & s.store.of_s0 & 1 << (p - 1)) return true;
    }
    return false;
  }

  bool names_s0(int revoker) const { return revoker == 0 || scope_.same_session; }

  Scope scope_;
  const Guards without_;

 private:
  // First the rows that the nodes name, in that order, then the others, by what they say.
  static State rows_in_order(const State& s) {
    int order[ROWS], count = 0, old[ROWS + 1];
    bool placed[ROWS + 1] = {false, false, false, true};
    const auto place = [&](int k) {
      if (!placed[k]) placed[order[count++] = k] = true;
    };
    for (int n = 0; n < NODES; ++n) place(s.node[n].row), place(s.late[n].row);
    while (count < ROWS) {
      int best = NOBODY;
      for (int k = 0; k < ROWS; ++k) {
        if (!placed[k] && (best == NOBODY || weight(s, k) > weight(s, best))) best = k;
      }
      place(best);
    }
    State t = s;
    old[NOBODY] = NOBODY;
    for (int k = 0; k < ROWS; ++k) t.row[k] = s.row[order[k]], old[order[k]] = k;
    for (Node& n : t.node) n.row = old[n.row];
    for (Late& l : t.late) l.row = old[l.row];
    for (int r = 0; r < REVOKERS; ++r) {
      Revoker& to = t.revoker[r];
      to.list &= ALL_OF_IT;
      to.asked = 0;
      for (int k = 0; k < ROWS; ++k) {
        to.list |= (s.revoker[r].list >> order[k] & 1) << k;
        to.asked |= (s.revoker[r].asked >> order[k] & 1) << k;
      }
    }
    return t;
  }

  static int weight(const State& s, int k) {
    const Row& r = s.row[k];
    int all = ((((r.there * 4 + r.applied) * 2 + r.epoch) * 8) + r.still) * 2 + r.doomed;
    for (const Revoker& v : s.revoker) all = all * 4 + (v.list >> k & 1) * 2 + (v.asked >> k & 1);
    return all;
  }
};
