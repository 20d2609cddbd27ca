// `revoke_user` and the sign-in beside it where they share no transaction: Valkey Cluster, docs/decisions/0012.
//
// A subject's shard keeps its generation and the list of its sessions; a session's row is in another slot, the log in a
// third. Maria changes her password and calls `revoke_user`. Somebody who knows the old one signs in meanwhile. Others
// may call `update_claims` before, which raises the generation, too, or `revoke` for this one session, and crash in the
// middle. The property is that of subject.hpp: AFTER `revoke_user` RETURNED, NO SESSION IS ACCEPTED THAT WAS SIGNED IN
// WITH THE OLD PASSWORD.
//
// The subject's shard is server 0, and server 1, its replica, which is promoted once, or never. Server 0 still answers
// then, reads and writes, but what it writes is never durable. What is written on server 1 is durable at once: it has a
// replica again. A session is accepted while its row is there, and, from memory, until the log names it: that this is
// so everywhere is the lease model's matter. Row and log do not fail over here.

#pragma once

#include "explore.hpp"
#include "guards.hpp"

class Slots {
 public:
  static constexpr int DRAWS = 4;  // generations that are given out in one run

  enum Row { NO_ROW, LIVE, TOMBSTONE };
  enum Owner { QUIET, PASSWORD_CHANGED, LIST_READ, RAISED, ROW_ENDED, REVOKED };
  enum SigningIn { NOT_BEGUN, FIRST_DONE, BOTH_DONE, HAS_ROW, IN_LIST, SIGNED_IN, REFUSED };
  enum Ending { NOT_ENDED, ENDED, NOTED };

  struct Server {  // of the subject
    SMALL(u8, generation, 3);
    SMALL(u8, listed, 1);  // the session is in the list
    SPARE(u8, 4);
  };
  struct Maria {
    SMALL(u16, is, 3);
    SMALL(u16, sees, 1);   // she has read a list with the session in it
    SMALL(u16, alone, 1);  // what she wrote is on server 0 alone
    SPARE(u16, 11);
  };
  struct SignIn {
    SMALL(u16, is, 3);
    SMALL(u16, noted, 3);  // the generation that it read
    SMALL(u16, alone, 1);  // what it wrote is on server 0 alone
    SPARE(u16, 9);
  };
  struct State {
    Server server[2];
    Maria maria;
    SignIn sign_in;
    SMALL(u16, promoted, 1);
    SMALL(u16, drawn, 3);   // generations given out, by both servers together
    SMALL(u16, claims, 1);  // update_claims was called
    SMALL(u16, row, 2);
    SMALL(u16, open, 1);    // beside the row: its end is not in the log yet
    SMALL(u16, logged, 1);  // the log names the session
    SMALL(u16, copy, 1);    // a second copy of the request that makes the row is under way
    SMALL(u16, ender, 2);   // somebody who calls `revoke` for this session alone
    SPARE(u16, 4);
  };

  enum Goal { GENERATION_MOVED, ENDED_WITH_ALL, CALLED_AGAIN, MENDED, FOLLOWED };

  explicit Slots(Guards without) : without_(without) {}

  State first() const { return State{}; }
  State canonical(const State& s) const { return s; }

  template <class Go>
  void next(const State& s, Go& go) const {
    replicate(s, go);
    for (int k = 0; k <= s.promoted; ++k) {
      update_claims(s, k, go);
      revoke_user(s, k, go);
      sign_in(s, k, go);
      end_alone(s, k, go);
    }
    late_copy(s, go);
    check(s, go);
  }

  std::vector<GoalText> goals() const {
    return {{GENERATION_MOVED, "a sign-in with the old password is refused because the generation has moved"},
            {ENDED_WITH_ALL, "a sign-in with the old password succeeds before the revocation, and is revoked"},
            {CALLED_AGAIN, "revoke_user raises, since what it wrote is not durable, and is called again"},
            {MENDED, "revoke_user logs what somebody ended who crashed"},
            {FOLLOWED, "a sign-in of before a failover is revoked after it"}};
  }

 private:
  bool with(Guard guard) const { return !without_.has(guard); }

  // --- the subject's shard ---

  template <class Go>
  void replicate(const State& s, Go& go) const {
    if (s.promoted) return;
    State t = s;
    t.server[1] = s.server[0];
    t.maria.alone = t.sign_in.alone = 0;
    go(t, "server 1, the replica, has all that server 0 wrote: it is durable");
    t = s;
    t.promoted = 1;
    go(t, "FAILOVER: server 1 is promoted; server 0 does not know");
  }

  void raise_generation(State& t, int k) const {
    t.drawn = t.drawn + 1;
    t.server[k].generation = with(GENERATION_NEVER_REPEATS) ? t.drawn : t.server[k].generation + 1;
  }

  template <class Go>
  void update_claims(const State& s, int k, Go& go) const {
    if (s.claims || s.drawn >= DRAWS) return;
    State t = s;
    t.claims = 1;
    raise_generation(t, k);
    go(t, "update_claims raises the generation on server %d, to %d", k, t.server[k].generation);
  }

  // --- Maria ---

  template <class Go>
  void revoke_user(const State& s, int k, Go& go) const {
    const bool at_once = with(GENERATION_BEFORE_LIST);
    State t = s;
    switch (s.maria.is) {
      case QUIET:
        if (k) break;
        t.maria.is = PASSWORD_CHANGED;
        go(t, "Maria changes her password");
        break;
      case PASSWORD_CHANGED:
        if (s.drawn >= DRAWS) break;
        t.maria.sees = s.server[k].listed;
        t.maria.is = at_once ? RAISED : LIST_READ;
        if (at_once) raise_here(t, k);
        go(t,
           at_once ? "revoke_user raises the generation on server %d, to %d, and reads the list"
                   : "revoke_user reads the list on server %d",
           k, t.server[k].generation);
        break;
      case LIST_READ:
        t.maria.is = RAISED;
        raise_here(t, k);
        go(t, "revoke_user raises the generation on server %d, to %d", k, t.server[k].generation);
        break;
      case RAISED:
        if (!k) end_listed(s, go);
        break;
      case ROW_ENDED:
        if (k) break;
        t.logged = 1;
        t.maria.is = REVOKED;
        if (s.sign_in.is == SIGNED_IN) go.reached(ENDED_WITH_ALL);
        if (s.sign_in.is == SIGNED_IN && s.promoted) go.reached(FOLLOWED);
        go(t, "revoke_user appends the end of the session to the log, and RETURNS");
        break;
      default: break;
    }
  }

  void raise_here(State& t, int k) const {
    t.maria.alone = !k;
    raise_generation(t, k);
  }

  template <class Go>
  void end_listed(const State& s, Go& go) const {
    State t = s;
    if (s.maria.alone) {
      t.maria = Maria{};
      t.maria.is = PASSWORD_CHANGED;
      go.reached(CALLED_AGAIN);
      go(t, "revoke_user raises StoreUnavailable: what it wrote is not durable. It will be called again");
      if (with(DURABLE_BEFORE_RETURN)) return;
      t = s;
    }
    // What was ended before, and is not open, is in the log.
    if (!s.maria.sees || (s.row == TOMBSTONE && !s.open)) {
      t.maria.is = REVOKED;
      go(t, s.maria.sees ? "revoke_user finds the session ended and logged, and RETURNS"
                         : "revoke_user finds no session in the list, and RETURNS");
      return;
    }
    if (s.row == TOMBSTONE && s.ender == ENDED) go.reached(MENDED);
    t.maria.is = ROW_ENDED;
    end_row(t);
    go(t, "revoke_user makes the row a tombstone");
  }

  void end_row(State& t) const {
    t.row = with(TOMBSTONE_NOT_A_HOLE) ? TOMBSTONE : NO_ROW;
    t.open = 1;
  }

  // --- the sign-in ---

  template <class Go>
  void sign_in(const State& s, int k, Go& go) const {
    const bool generation_first = with(GENERATION_BEFORE_PASSWORD);
    State t = s;
    const auto read_generation = [&](SigningIn then) {
      t.sign_in.is = then;
      t.sign_in.noted = s.server[k].generation;
      go(t, "a sign-in reads the generation on server %d: %d", k, t.sign_in.noted);
    };
    const auto check_password = [&](SigningIn then) {
      if (s.maria.is != QUIET || k) return;
      t.sign_in.is = then;
      go(t, "a sign-in finds the old password right");
    };
    switch (s.sign_in.is) {
      case NOT_BEGUN: generation_first ? read_generation(FIRST_DONE) : check_password(FIRST_DONE); break;
      case FIRST_DONE: generation_first ? check_password(BOTH_DONE) : read_generation(BOTH_DONE); break;
      case BOTH_DONE:
        if (!k) make_row(s, go);
        break;
      case HAS_ROW: add_to_list(s, k, go); break;
      case IN_LIST:
        if (k || (s.sign_in.alone && with(DURABLE_SIGN_IN))) break;
        t.sign_in.is = SIGNED_IN;
        go(t, "the sign-in RETURNS: its token is out");
        break;
      default: break;
    }
  }

  template <class Go>
  void make_row(const State& s, Go& go) const {
    State t = s;
    t.row = LIVE;
    t.sign_in.is = HAS_ROW;
    go(t, "the sign-in makes its row");
    t.copy = 1;
    go(t, "the sign-in makes its row; a copy of the request is still under way");
  }

  template <class Go>
  void add_to_list(const State& s, int k, Go& go) const {
    State t = s;
    if (with(SIGN_IN_COMPARES_GENERATION) && s.sign_in.noted != s.server[k].generation) {
      t.sign_in.is = REFUSED;
      end_row(t);
      go.reached(GENERATION_MOVED);
      go(t, "the sign-in is refused by server %d, whose generation is %d, and takes its row back", k,
         s.server[k].generation);
      return;
    }
    t.server[k].listed = 1;
    t.sign_in.alone = !k;
    t.sign_in.is = IN_LIST;
    go(t, "the sign-in adds its session to the list on server %d, whose generation is %d", k, s.server[k].generation);
  }

  template <class Go>
  void late_copy(const State& s, Go& go) const {
    if (!s.copy) return;
    State t = s;
    t.copy = 0;
    if (s.row == NO_ROW) t.row = LIVE;
    go(t, s.row == NO_ROW ? "the copy arrives, and makes the row anew" : "the copy arrives, and changes nothing");
  }

  // --- somebody ends this session alone, and may crash (that is: do nothing more) at any time ---

  template <class Go>
  void end_alone(const State& s, int k, Go& go) const {
    State t = s;
    if (s.ender == NOT_ENDED && s.sign_in.is == SIGNED_IN && s.row == LIVE && !k) {
      t.ender = ENDED;
      end_row(t);
      go(t, "somebody's revoke makes the row a tombstone");
    } else if (s.ender == ENDED && !k) {
      t.ender = NOTED;
      t.logged = 1;
      t.open = 0;
      go(t, "it appends to the log, and then notes that this is done");
    }
    const bool early = s.ender == ENDED && !with(LISTED_UNTIL_LOGGED);
    if ((s.ender == NOTED || early) && s.server[k].listed) {
      t = s;
      t.server[k].listed = 0;
      go(t, "it takes the session off the list on server %d", k);
    }
    if (s.ender == ENDED && s.open && !k && !with(OPEN_UNTIL_LOGGED)) {
      t = s;
      t.open = 0;
      go(t, "it notes that this is done; the log is still to be appended");
    }
  }

  // --- check ---

  template <class Go>
  void check(const State& s, Go& go) const {
    if (s.maria.is != REVOKED || s.sign_in.is != SIGNED_IN) return;
    if (s.row == LIVE) go.accepts("CHECK of the session signed in with the old password: its row is there -> ACCEPTED");
    if (!s.logged)
      go.accepts("CHECK of the session signed in with the old password: in memory, and not in the log -> ACCEPTED");
  }

  const Guards without_;
};
