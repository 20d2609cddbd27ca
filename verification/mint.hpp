// How long a revocation must be remembered: minting and forgetting.
//
// A JWT carries its truth with it, so somebody must know of the revocation for as long as one can live. The log keeps
// the change until `forget_after`; a verifier that joins later has never heard of it. The property: NO JWT OF S0 IS
// ACCEPTED AFTER THE REVOCATION RETURNED.
//
// What the lease model shows is taken as given here: an issuer may find S0 current in memory, under a live lease, until
// the revocation returns, and it returns at most one lease after its commit. Time is absolute, and as long as anything
// can still happen. Four wall clocks take part: the issuer's (exp), the revoker's (forget_after), the trimmer's (is it
// over?) and the verifier's (is it expired?). Each is right or one tick ahead, so two of them differ by one at most.

#pragma once

#include "explore.hpp"
#include "guards.hpp"

class Mint {
 public:
  static constexpr int LIFETIME = 2, LEASE = 2, APART = 1;  // ticks; by how much two clocks may differ
  static constexpr int END = LEASE + LIFETIME + 2 * APART + 3;

  enum Minting { NOT_YET, CLOCK_READ, TESTED, SIGNED };

  struct State {
    SMALL(u64, clocks_chosen, 1);
    SMALL(u64, issuer, 1);  // the four clocks: ticks ahead
    SMALL(u64, revoker, 1);
    SMALL(u64, trimmer, 1);
    SMALL(u64, verifier, 1);
    SMALL(u64, now, 4);  // since the commit
    SMALL(u64, returned, 1);
    SMALL(u64, trimmed, 1);
    SMALL(u64, minting, 2);
    SMALL(u64, read, 4);   // the clock, for this JWT: wall time of the issuer
    SMALL(u64, check, 1);  // a check of the JWT has begun, after the revocation returned: it is not expired
    SPARE(u64, 46);
  };

  explicit Mint(Guards without) : without_(without) {}

  State first() const { return State{}; }
  State canonical(const State& s) const { return s; }

  template <class Go>
  void next(const State& s, Go& go) const {
    if (!s.clocks_chosen) return choose_clocks(s, go);
    if (s.now < END) {
      State t = s;
      t.now = s.now + 1;
      go(t, "tick: %d since the commit", t.now);
    }
    if (!s.returned && s.now <= LEASE) {
      State t = s;
      t.returned = 1;
      go(t, "the revocation RETURNS");
    }
    if (s.now <= LEASE || s.returned) mint(s, go);
    trim(s, go);
    verify(s, go);
  }

  std::vector<GoalText> goals() const {
    return {{0, "a JWT is signed after the commit"},
            {1, "a check is refused because the revocation is remembered"},
            {2, "the change is forgotten"}};
  }

 private:
  bool with(Guard guard) const { return !without_.has(guard); }
  int lifetime() const { return LIFETIME + !with(FORGET_AFTER_COVERS_LIFETIMES); }

  // From the commit, on the revoker's clock.
  int forget_after() const {
    const int latest_exp = (with(FORGET_AFTER_COVERS_LEASE) ? LEASE : 0) + LIFETIME;
    // The issuer's may be ahead of the verifier's, and the trimmer's ahead of the revoker's.
    return latest_exp + (with(FORGET_AFTER_COVERS_CLOCKS) ? 2 : 1) * APART;
  }

  template <class Go>
  void choose_clocks(const State& s, Go& go) const {
    const auto ahead = [&](auto set, const char* what) {
      State t = s;
      set(t);
      go(t, what);
    };
    ahead([](State& t) { t.clocks_chosen = 1; }, "all other clocks agree; the revocation commits");
    ahead([](State& t) { t.issuer = 1; }, "the issuer's clock is one tick ahead");
    ahead([](State& t) { t.revoker = 1; }, "the revoker's clock is one tick ahead");
    ahead([](State& t) { t.trimmer = 1; }, "the trimmer's clock is one tick ahead");
    ahead([](State& t) { t.verifier = 1; }, "the verifier's clock is one tick ahead");
  }

  // In this order: the clock is read, the lease and the session are tested in memory, then it is signed.
  template <class Go>
  void mint(const State& s, Go& go) const {
    State t = s;
    const bool clock_first = with(CLOCK_BEFORE_MINT_TEST);
    const auto read_clock = [&](Minting then) {
      t.minting = then;
      t.read = s.now + s.issuer;
      go(t, "access_token reads the clock: %d", t.read);
    };
    const auto test = [&](Minting then) {
      if (with(MINT_FROM_MEMORY) && s.returned) return;  // the session is not current any more
      t.minting = then;
      go(t, with(MINT_FROM_MEMORY) ? "access_token finds the lease live and S0 current in memory"
                                   : "access_token takes the session object that it is given");
    };
    switch (s.minting) {
      case NOT_YET: clock_first ? read_clock(CLOCK_READ) : test(TESTED); break;
      case CLOCK_READ: clock_first ? test(TESTED) : sign(s, go); break;
      case TESTED: clock_first ? sign(s, go) : read_clock(CLOCK_READ); break;
      default: break;
    }
  }

  template <class Go>
  void sign(const State& s, Go& go) const {
    State t = s;
    t.minting = SIGNED;
    if (s.now) go.reached(0);
    go(t, "access_token signs: it expires at %d", s.read + lifetime());
  }

  template <class Go>
  void trim(const State& s, Go& go) const {
    if (s.trimmed || s.now + s.trimmer < s.revoker + forget_after()) return;
    State t = s;
    t.trimmed = 1;
    go.reached(2);
    go(t, "the change is forgotten: its forget_after, %d, is over", s.revoker + forget_after());
  }

  template <class Go>
  void verify(const State& s, Go& go) const {
    if (!s.returned || s.minting != SIGNED || s.now + s.verifier >= s.read + lifetime()) return;
    if (s.trimmed) {
      go.accepts("CHECK of the JWT at %d, by a verifier that has joined since: nothing is known against it -> ACCEPTED",
                 s.now + s.verifier);
    } else {
      go.reached(1);
    }
  }

  const Guards without_;
};
