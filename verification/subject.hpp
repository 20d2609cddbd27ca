// All sessions of one subject at once: `revoke_user`, the sign-in that runs beside it, and JWTs signed before and
// after.
//
// Maria changes her password and calls `revoke_user`. Somebody who knows her old password signs in meanwhile. The
// property: AFTER `revoke_user` RETURNED, NO SESSION IS ACCEPTED THAT WAS SIGNED IN BEFORE, OR WITH THE OLD PASSWORD,
// and a JWT of a session signed in afterwards is not refused. The barrier is the lease model's matter: here a
// revocation is in force everywhere when it returns.

#pragma once

#include "explore.hpp"
#include "guards.hpp"

class Subject {
 public:
  static constexpr int END = 2;

  enum SignIn { NOT_BEGUN, FIRST_DONE, BOTH_DONE, OVER };
  enum Owner { QUIET, PASSWORD_CHANGED, REVOKED };
  enum Token { NONE, OLD_SESSIONS, NEW_SESSIONS };

  struct State {
    SMALL(u64, now, 2);    // the store's wall clock
    SMALL(u64, ahead, 1);  // the issuer's, by one
    SMALL(u64, owner, 2);
    SMALL(u64, at, 2);          // of the revocation
    SMALL(u64, generation, 1);  // of the subject
    SMALL(u64, sign_in, 2);     // somebody's, with the old password
    SMALL(u64, noted, 1);       // the generation that it read
    SMALL(u64, session, 1);     // it got a session, and that is not revoked
    SMALL(u64, token, 2);       // a JWT of Maria's session from before, or of one that she signed in afterwards
    SMALL(u64, iat, 3);
    SPARE(u64, 47);
  };

  explicit Subject(Guards without) : without_(without) {}

  State first() const { return State{}; }
  State canonical(const State& s) const { return s; }

  template <class Go>
  void next(const State& s, Go& go) const {
    if (s.now < END) {
      State t = s;
      t.now = s.now + 1;
      go(t, "tick: the store's clock says %d", t.now);
    }
    if (!s.now && !s.ahead && !s.token) {
      State t = s;
      t.ahead = 1;
      go(t, "the issuer's clock is 1 ahead of the store's");
    }
    maria(s, go);
    sign_in(s, go);
    tokens(s, go);
    if (s.owner == REVOKED && s.session)
      go.accepts("CHECK of the session that was signed in with the old password -> ACCEPTED");
  }

  std::vector<GoalText> goals() const {
    return {{0, "a sign-in with the old password is refused because the generation has moved"},
            {1, "a sign-in with the old password succeeds before the revocation, and is revoked"},
            {2, "a JWT from before is refused"},
            {3, "a JWT of a new session is accepted"}};
  }

 private:
  bool with(Guard guard) const { return !without_.has(guard); }

  template <class Go>
  void maria(const State& s, Go& go) const {
    State t = s;
    if (s.owner == QUIET) {
      t.owner = PASSWORD_CHANGED;
      go(t, "Maria changes her password");
    } else if (s.owner == PASSWORD_CHANGED) {
      t.owner = REVOKED;
      t.generation = 1;
      t.at = s.now;
      if (s.session) go.reached(1);
      t.session = 0;
      go(t, "revoke_user revokes every live session, raises the generation, and RETURNS");
    }
  }

  template <class Go>
  void sign_in(const State& s, Go& go) const {
    const bool generation_first = with(GENERATION_BEFORE_PASSWORD);
    State t = s;
    const auto read_generation = [&](SignIn then) {
      t.sign_in = then;
      t.noted = s.generation;
      go(t, "a sign-in reads the subject's generation: %d", s.generation);
    };
    const auto check_password = [&](SignIn then) {
      if (s.owner != QUIET) return;
      t.sign_in = then;
      go(t, "a sign-in finds the old password right");
    };
    switch (s.sign_in) {
      case NOT_BEGUN: generation_first ? read_generation(FIRST_DONE) : check_password(FIRST_DONE); break;
      case FIRST_DONE: generation_first ? check_password(BOTH_DONE) : read_generation(BOTH_DONE); break;
      case BOTH_DONE:
        t.sign_in = OVER;
        if (with(SIGN_IN_COMPARES_GENERATION) && s.noted != s.generation) {
          go.reached(0);
          go(t, "the sign-in is refused: the generation has moved");
        } else {
          t.session = 1;
          go(t, "the sign-in adds its session");
        }
        break;
      default: break;
    }
  }

  template <class Go>
  void tokens(const State& s, Go& go) const {
    if (!s.token) {
      State t = s;
      t.iat = s.now + s.ahead;
      t.token = s.owner == REVOKED ? NEW_SESSIONS : OLD_SESSIONS;
      go(t,
         s.owner == REVOKED ? "Maria signs in anew, and is given a JWT: iat %d"
                            : "Maria's session of before is given a JWT: iat %d",
         t.iat);
      return;
    }
    if (s.owner != REVOKED) return;
    // By the sessions that the log names; or, without the guard, by the time of the revocation.
    const bool refused = with(NO_IAT_COMPARISON) ? s.token == OLD_SESSIONS : s.iat < s.at;
    if (refused && s.token == OLD_SESSIONS) go.reached(2);
    if (!refused && s.token == NEW_SESSIONS) go.reached(3);
    if (!refused && s.token == OLD_SESSIONS)
      go.accepts("CHECK of the JWT from before: iat %d, revoked at %d -> ACCEPTED", s.iat, s.at);
    if (refused && s.token == NEW_SESSIONS)
      go.accepts("CHECK of the JWT of the new session: iat %d, revoked at %d -> REFUSED, and should not be", s.iat,
                 s.at);
  }

  const Guards without_;
};
