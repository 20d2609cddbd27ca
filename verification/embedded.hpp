// The embedded store: no lease, a pulse that is read before every check.
//
// One process has S0 in memory, checks it on two threads, and reads rows from the file beside them. Another process (or
// this one: `own`) revokes S0; a third writes something else, which moves the pulse as well. The property: NO CHECK
// THAT BEGINS AFTER THE REVOCATION RETURNED IS ANSWERED BY YES.
//
// A check reads the pulse. If it is the one noted, memory is looked at. If not, memory catches up under the lock: the
// pulse is read, the log is read and applied, that pulse is noted. Memory and the noted pulse are read without the
// lock.

#pragma once

#include "explore.hpp"
#include "guards.hpp"

class Embedded {
 public:
  static constexpr int THREADS = 2;

  enum Writing { BEFORE, HALF, COMMITTED, RETURNED };
  enum Thread { IDLE, SURE, LOCKED, HALF_CAUGHT_UP, FOUND };
  enum Filling { NO_FILL, ASKED, IN_HAND, TESTED };

  struct Check {
    SMALL(u8, thread, 3);
    SMALL(u8, pulse, 2);   // that it read under the lock
    SMALL(u8, counts, 1);  // it began after the revocation returned
    SPARE(u8, 2);
  };
  struct State {
    SMALL(u16, revoked, 1);  // in the log, and the row is gone
    SMALL(u16, pulse, 2);    // every write gives it a value that it never had
    SMALL(u16, revoker, 2);
    SMALL(u16, other, 2);
    SMALL(u16, noted, 2);    // the process's: the pulse that memory is true for
    SMALL(u16, applied, 1);  // it has read the revocation in the log
    SMALL(u16, has_s0, 1);
    SMALL(u16, fill, 2);
    SMALL(u16, marked, 1);
    SMALL(u16, locked, 1);
    SPARE(u16, 1);
    Check check[THREADS];
    u8 spare_too[4];
  };

  Embedded(bool own, Guards without) : own_(own), without_(without) {}

  State first() const { return State{}; }

  State canonical(const State& s) const {
    State t = s;
    std::swap(t.check[0], t.check[1]);
    return words_of(t) < words_of(s) ? t : s;
  }

  template <class Go>
  void next(const State& s, Go& go) const {
    revoke(s, go);
    write_something(s, go);
    fill(s, go);
    for (int k = 0; k < THREADS; ++k) check(s, k, go);
  }

  std::vector<GoalText> goals() const {
    return {{0, "S0 is answered from memory before it is revoked"},
            {1, "a check catches up with the log"},
            {2, "a fill is marked"}};
  }

 private:
  bool with(Guard guard) const { return !without_.has(guard); }

  // --- writers: commit, then pulse, then return ---

  template <class Go>
  void revoke(const State& s, Go& go) const {
    if (own_) return revoke_here(s, go);
    State t = s;
    switch (s.revoker) {
      case BEFORE:
        t.revoker = HALF;
        if (with(COMMIT_BEFORE_PULSE)) {
          t.revoked = 1;
          go(t, "another process commits the revocation of S0");
        } else {
          t.pulse = s.pulse + 1;
          go(t, "another process moves the pulse: %d", t.pulse);
        }
        break;
      case HALF:
        if (with(COMMIT_BEFORE_PULSE)) {
          t.pulse = s.pulse + 1;
          t.revoker = RETURNED;
          go(t, "it moves the pulse, %d, and its revocation RETURNS", t.pulse);
        } else {
          t.revoked = 1;
          t.revoker = RETURNED;
          go(t, "it commits the revocation of S0, which RETURNS");
        }
        if (!with(PULSE_BEFORE_RETURN)) {
          t = s;
          t.revoker = RETURNED;
          go(t, "its revocation RETURNS; the pulse is still to move");
        }
        break;
      default: break;
    }
  }

  // Our own writes need no pulse: before they return, they drop what they change.
  template <class Go>
  void revoke_here(const State& s, Go& go) const {
    State t = s;
    if (s.revoker == BEFORE) {
      t.revoked = 1;
      t.revoker = COMMITTED;
      go(t, "this process itself commits the revocation of S0");
    } else if (s.revoker == COMMITTED && !s.locked) {
      if (with(OWN_WRITES_DROP_MEMORY)) forget(t);
      t.revoker = RETURNED;
      go(t, "its revocation RETURNS");
    }
  }

  template <class Go>
  void write_something(const State& s, Go& go) const {
    State t = s;
    if (s.other == BEFORE) {
      t.other = COMMITTED;
      go(t, "a third process commits something else");
    } else if (s.other == COMMITTED) {
      t.other = RETURNED;
      t.pulse = s.pulse + 1;
      go(t, "it moves the pulse: %d", t.pulse);
    }
  }

  // --- memory ---

  void forget(State& t) const {
    t.has_s0 = 0;
    if (t.fill != NO_FILL && with(CHANGES_MARK_FILLS)) t.marked = 1;
  }

  template <class Go>
  void fill(const State& s, Go& go) const {
    State t = s;
    switch (s.fill) {
      case NO_FILL:
        if (s.has_s0) break;
        t.fill = ASKED;
        go(t, "a fill begins");
        break;
      case ASKED:
        t.fill = s.revoked ? NO_FILL : IN_HAND;
        if (s.revoked) t.marked = 0;
        go(t, s.revoked ? "it reads that S0's row is gone" : "it reads S0's row");
        break;
      case IN_HAND:
        if (s.locked) break;
        if (s.marked) {
          go.reached(2);
          t.fill = t.marked = 0;
          go(t, "it is marked, and not kept");
        } else if (with(MARK_AND_INSERT_AT_ONCE)) {
          t.fill = t.marked = 0;
          t.has_s0 = 1;
          go(t, "it is kept: S0 is in memory");
        } else {
          t.fill = TESTED;
          go(t, "it is found unmarked");
        }
        break;
      default:
        t.fill = t.marked = 0;
        t.has_s0 = 1;
        go(t, "it is kept: S0 is in memory");
        break;
    }
  }

  // --- checks ---

  template <class Go>
  void check(const State& s, int k, Go& go) const {
    State t = s;
    Check& me = t.check[k];
    switch (me.thread) {
      case IDLE: begin(s, k, go); break;
      case SURE:
        if (s.has_s0 && me.counts) go.accepts("thread %d: S0 is in memory -> ACCEPTED", k);
        if (s.has_s0 && !s.revoked) go.reached(0);
        end(me);
        go(t, "thread %d looks into memory", k);
        break;
      case LOCKED: catch_up(s, k, go); break;
      case HALF_CAUGHT_UP: note(s, k, go); break;
      case FOUND:  // only without pulse-before-memory
        if (s.pulse == s.noted && me.counts) go.accepts("thread %d: the pulse is the one noted -> ACCEPTED", k);
        end(me);
        go(t, "thread %d reads the pulse", k);
        break;
    }
  }

  static void end(Check& me) { me.thread = me.pulse = me.counts = 0; }

  template <class Go>
  void begin(const State& s, int k, Go& go) const {
    State t = s;
    Check& me = t.check[k];
    me.counts = s.revoker == RETURNED;
    if (!with(PULSE_BEFORE_MEMORY) && s.has_s0) {
      me.thread = FOUND;
      go(t, "thread %d begins a CHECK: S0 is in memory", k);
    }
    if (s.pulse == s.noted) {
      if (!with(PULSE_BEFORE_MEMORY)) return;
      me.thread = SURE;
      go(t, "thread %d begins a CHECK: the pulse is the one noted", k);
    } else if (!s.locked) {
      me.thread = LOCKED;
      me.pulse = s.pulse;
      t.locked = 1;
      go(t, "thread %d begins a CHECK: the pulse has moved; it takes the lock, and reads it: %d", k, s.pulse);
    }
  }

  template <class Go>
  void catch_up(const State& s, int k, Go& go) const {
    State t = s;
    t.check[k].thread = HALF_CAUGHT_UP;
    if (with(LOG_BEFORE_NOTING)) {
      apply_log(t);
      go.reached(1);
      go(t, "thread %d reads the log and applies it", k);
    } else {
      t.noted = s.check[k].pulse;
      go(t, "thread %d notes the pulse: %d", k, t.noted);
    }
  }

  template <class Go>
  void note(const State& s, int k, Go& go) const {
    State t = s;
    t.check[k].thread = SURE;
    t.locked = 0;
    if (!with(LOG_BEFORE_NOTING)) {
      apply_log(t);
      go(t, "thread %d reads the log and applies it", k);
    } else {
      t.noted = with(NOTE_THE_EARLIER_PULSE) ? static_cast<int>(s.check[k].pulse) : static_cast<int>(s.pulse);
      go(t, "thread %d notes the pulse: %d", k, t.noted);
    }
    t.check[k].pulse = 0;
  }

  void apply_log(State& t) const {
    if (t.revoked && !t.applied) {
      forget(t);
      t.applied = 1;
    }
  }

  const bool own_;
  const Guards without_;
};
