// Which runs there are: each model with all its guards, and with each guard taken away.
//
// A new model gets its own file with a class as explore.hpp describes it, its guards in guards.hpp, and its cases here.

#pragma once

#include <cctype>
#include <sstream>

#include "embedded.hpp"
#include "explore.hpp"
#include "guards.hpp"
#include "lease.hpp"
#include "mint.hpp"
#include "replicas.hpp"
#include "slots.hpp"
#include "subject.hpp"

struct Case {
  std::string name, model, scope;
  std::vector<Guard> without;
  Outcome::Kind expected;
  std::function<Outcome(const Limits&)> run;
};

inline Guards set_of(const std::vector<Guard>& without) {
  Guards set;
  for (Guard guard : without) set.add(guard);
  return set;
}

// "2 nodes, late, sweeps": a scope in words.
inline std::vector<std::string> split(const std::string& words) {
  std::vector<std::string> parts;
  std::istringstream in(words);
  for (std::string part; std::getline(in, part, ',');) {
    const std::size_t from = part.find_first_not_of(' ');
    parts.push_back(from == std::string::npos ? part : part.substr(from));
  }
  return parts;
}

[[noreturn]] inline void unknown(const std::string& word) {
  throw std::invalid_argument("no scope knows the word \"" + word + "\"");
}

inline Lease::Scope read_scope(const std::string& words) {
  Lease::Scope scope;
  for (const std::string& word : split(words)) {
    if (word == "1 node") scope.nodes = 1;
    else if (word == "2 nodes") scope.nodes = 2;
    else if (word == "1 revoker") scope.revokers = 1;
    else if (word == "2 revokers") scope.revokers = 2;
    else if (word == "2 revokers of S0") scope.revokers = 2, scope.same_session = true;
    else if (word == "1 other change") scope.others = 1;
    else if (word == "2 other changes") scope.others = 2;
    else if (word == "lease 1") scope.lease = 1;
    else if (word == "lease 3") scope.lease = 3;
    else if (word == "margin 1") scope.margin = 1;
    else if (word == "verifiers") scope.sessions = false, scope.jwts = true;
    else if (word == "rides") scope.rides = true;
    else if (word == "jwts") scope.jwts = true;
    else if (word == "late") scope.late = true;
    else if (word == "crashes") scope.crashes = true;
    else if (word == "sweeps") scope.sweeps = true;
    else if (word == "trims") scope.trims = true;
    else if (word == "pages") scope.pages = true;
    else if (word == "drift") scope.drift = true;
    else if (word == "new epoch") scope.new_epoch = true;
    else if (word == "two slots") scope.two_slots = true;
    else unknown(word);
  }
  return scope;
}

inline bool is_of_replicas(const std::string& words) { return words.find(" fail") != std::string::npos; }

inline Replicas::Scope read_replicas(const std::string& words) {
  Replicas::Scope scope;
  for (const std::string& word : split(words)) {
    if (word == "home fails") scope.home_fails = true;
    else if (word == "rows fail") scope.rows_fail = true;
    else if (word == "one server fails") scope.one_server = scope.home_fails = true;
    else if (word == "unnoticed") scope.unnoticed = true;
    else if (word == "joins later") scope.joins_later = true;
    else if (word == "unnamed") scope.unnamed = true;
    else if (word == "a bucket moves") scope.moves = true;
    else if (word == "jwts") scope.jwts = true;
    else if (word == "versions") scope.versions = true;
    else if (word == "slow") scope.slow = true;
    else if (word == "recalls") scope.recalls = true;
    else if (word == "1 line") scope.lines = 1;
    else if (word == "2 lines") scope.lines = 2;
    else if (word == "lease 2") scope.lease = 2;
    else if (word == "1 other change") scope.other = true;
    else unknown(word);
  }
  return scope;
}

inline Case lease_case(std::string name, std::string scope, std::vector<Guard> without, Outcome::Kind expected) {
  const Lease model(read_scope(scope), set_of(without));
  return {std::move(name),    "lease",  std::move(scope),
          std::move(without), expected, [model](const Limits& limits) { return explore(model, limits); }};
}

inline Case replicas_case(std::string name, std::string scope, std::vector<Guard> without, Outcome::Kind expected) {
  const Replicas model(read_replicas(scope), set_of(without));
  return {std::move(name),    "replicas", std::move(scope),
          std::move(without), expected,   [model](const Limits& limits) { return explore(model, limits); }};
}

template <class Model>
Case small_case(std::string name, std::string model_name, std::string scope, const Model& model,
                std::vector<Guard> without) {
  return {std::move(name),
          std::move(model_name),
          std::move(scope),
          without,
          without.empty() ? Outcome::HOLDS : Outcome::BREAKS,
          [model](const Limits& limits) { return explore(model, limits); }};
}

inline std::string without_name(const std::vector<Guard>& without) {
  std::string name = "without";
  for (Guard guard : without) name += (name == "without" ? " " : " and ") + text_of(guard).name;
  return name;
}

// Replicated and split stores. "more:" has what is too large for the quick run.
inline void add_replicas(std::vector<Case>& cases, bool quick) {
  const auto holds = [&](const char* name, const char* scope) {
    cases.push_back(replicas_case(name, scope, {}, Outcome::HOLDS));
  };
  const auto breaks = [&](const char* scope, Guard without) {
    cases.push_back(replicas_case(without_name({without}) + " (replicas)", scope, {without}, Outcome::BREAKS));
  };
  holds("home fails over", "home fails, 1 line");
  holds("home fails over twice", "home fails, unnoticed, 1 line");
  holds("rows fail over", "rows fail, recalls");
  holds("rows fail over and move", "rows fail, a bucket moves, recalls, 1 line");
  holds("rows fail over, versions", "rows fail, versions, jwts, 1 line");
  holds("first names", "rows fail, unnamed, slow, 1 line");
  holds("first names, home fails over", "home fails, rows fail, unnamed, slow, joins later, 1 line");
  if (!quick) {
    holds("more: home fails over", "home fails");
    holds("more: home fails over, JWTs", "home fails, jwts");
    holds("more: home fails over, other changes", "home fails, 1 other change, 2 lines");
    holds("more: home fails over, longer lease", "home fails, lease 2, 2 lines");
    holds("more: home fails over twice", "home fails, unnoticed");
    holds("more: rows fail over twice, named slowly", "rows fail, unnoticed, slow");
    holds("more: rows fail over twice and move, named slowly",
          "rows fail, unnoticed, slow, a bucket moves, recalls, 1 line");
    holds("more: rows fail over and move", "rows fail, a bucket moves, recalls");
    holds("more: rows fail over twice and move", "rows fail, unnoticed, a bucket moves, recalls, 2 lines");
    holds("more: rows fail over, versions", "rows fail, versions, jwts");
    holds("more: home and rows fail over", "home fails, rows fail, 2 lines");
    holds("more: one server fails over", "one server fails");
    holds("more: one server fails over twice", "one server fails, unnoticed");
    holds("more: one server fails over twice, JWTs", "one server fails, unnoticed, jwts, 1 line");
  }
  breaks("rows fail, 1 line", DURABLE_BEFORE_RETURN);
  breaks("rows fail, 1 line", ROW_BEFORE_LOG);
  breaks("rows fail, 1 line", ROW_ONLY_UNDER_REGISTERED_NAME);
  breaks("rows fail, 1 line", LOG_ONLY_UNDER_REGISTERED_NAME);
  breaks("rows fail, a bucket moves, recalls, 1 line", NAMES_BY_BUCKET);
  breaks("rows fail, a bucket moves, recalls, 1 line", RENAME_WHAT_IS_THERE);
  breaks("rows fail, unnoticed, slow, 1 line", PROOF_BEFORE_REGISTERING);
  breaks("rows fail, unnoticed, slow, 1 line", READ_BEFORE_PROOF);
  breaks("rows fail, unnamed, slow, 1 line", REGISTER_BY_COMPARE);
  breaks("home fails, rows fail, unnamed, slow, joins later, 1 line", REGISTER_IN_ITS_EPOCH);
  breaks("rows fail, versions, jwts, 1 line", KEYS_GO_WITH_A_NAME);
  breaks("rows fail, versions, jwts, 1 line", KEYS_OF_OWN_EPOCH);
  breaks("home fails, 1 line", NEW_HISTORY_NEW_ERA);
  breaks("one server fails, unnoticed, 1 line", ERA_COUNTS_WHEN_DURABLE);
  breaks("home fails, 1 line", DURABLE_JOIN);
  breaks("home fails, 1 line", DURABLE_HEARTBEAT);
  breaks("rows fail, 1 line", WRITE_BEFORE_WAITING);
  breaks("home fails, 1 line", HIGHEST_EPOCH_ONLY);
  breaks("home fails, 1 line", PROOF_NAMES_ITS_EPOCH);
  breaks("home fails, 1 line", EVERY_ANSWER_NAMES_ITS_EPOCH);
  breaks("rows fail, 1 line", RUN_ON_PRIMARY);
}

inline std::vector<Case> all_cases(bool quick) {
  std::vector<Case> cases;
  const auto holds = [&](const char* name, const char* scope) {
    cases.push_back(lease_case(name, scope, {}, Outcome::HOLDS));
  };
  const auto breaks = [&](const char* scope, std::vector<Guard> without) {
    cases.push_back(lease_case(without_name(without), scope, without, Outcome::BREAKS));
  };
  // Another guard makes up for it.
  const auto still_holds = [&](const char* scope, std::vector<Guard> without) {
    cases.push_back(lease_case(without_name(without), scope, without, Outcome::HOLDS));
  };
  const auto mint = [&](std::vector<Guard> without) {
    cases.push_back(small_case(without.empty() ? "minting and forgetting" : without_name(without), "mint", "1 JWT",
                               Mint(set_of(without)), without));
  };
  const auto subject = [&](std::vector<Guard> without) {
    cases.push_back(small_case(without.empty() ? "revoke_user and sign-in" : without_name(without), "subject",
                               "1 sign-in, 1 JWT", Subject(set_of(without)), without));
  };
  const auto slots = [&](std::vector<Guard> without) {
    cases.push_back(small_case(
        without.empty() ? "revoke_user and sign-in, in three slots" : without_name(without) + " (three slots)", "slots",
        "three slots, failover of the subject's", Slots(set_of(without)), without));
  };
  const auto embedded = [&](bool own, std::vector<Guard> without) {
    const char* scope = own ? "2 threads, own write" : "2 threads, another process writes";
    cases.push_back(
        small_case(without.empty() ? std::string("embedded, ") + scope : without_name(without) + " (embedded)",
                   "embedded", scope, Embedded(own, set_of(without)), without));
  };

  // With all guards. Each scope is gone through completely; together they are chosen so that whatever the protocol
  // speaks of takes part in some, and what may disturb each other takes part together.
  holds("one node", "1 other change, rides, jwts, sweeps, trims");
  holds("late requests", "rides, late, sweeps, trims");
  holds("two nodes", "2 nodes, lease 1, rides, sweeps, trims");
  holds("two revokers", "2 revokers, rides, sweeps");
  holds("two revokers of one session", "2 revokers of S0, rides");
  holds("verifiers", "verifiers, late, crashes, sweeps, trims");
  holds("pages", "2 other changes, pages, trims");
  holds("drift", "lease 3, margin 1, drift");
  holds("new epoch", "new epoch, rides, jwts, sweeps");
  holds("two slots", "2 revokers of S0, two slots");
  if (!quick) {
    holds("more: one node", "lease 3, rides, jwts, late, crashes, sweeps, trims");
    holds("more: two nodes", "2 nodes, rides, jwts, crashes, sweeps, trims");
    holds("more: two nodes, trimmed", "2 nodes, 1 other change, rides, sweeps, trims");
    holds("more: late requests of two nodes", "2 nodes, lease 1, rides, late, sweeps");
    holds("more: two revokers", "2 revokers, rides, jwts, late, crashes, sweeps, trims");
    holds("more: two revokers, two nodes", "2 nodes, 2 revokers, rides");
    holds("more: two revokers, two nodes, swept", "2 nodes, 2 revokers, lease 1, rides, sweeps, trims");
    holds("more: two revokers of one session", "2 revokers of S0, rides, jwts, late, sweeps, trims");
    holds("more: verifiers", "2 nodes, lease 1, verifiers, late, crashes, sweeps, trims");
    holds("more: pages", "2 other changes, pages, jwts, late, sweeps, trims");
    holds("more: drift", "lease 3, margin 1, drift, rides, jwts, late, sweeps");
    holds("more: drift of two nodes", "2 nodes, margin 1, drift");
    holds("more: new epoch", "2 revokers, new epoch, rides, jwts, sweeps");
    holds("more: new epoch of two nodes", "2 nodes, new epoch, rides, jwts");
    holds("more: two slots", "2 revokers of S0, two slots, rides, late, sweeps");
  }

  breaks("2 revokers", {POSITIONS_IN_COMMIT_ORDER});
  breaks("two slots", {ROW_BEFORE_LOG});
  breaks("2 revokers of S0", {REVOKE_AGAIN_WAITS});
  breaks("1 node", {WRITES_CHANGE_WHAT_EXISTS});
  mint({});
  mint({FORGET_AFTER_COVERS_LEASE});
  mint({FORGET_AFTER_COVERS_CLOCKS});
  mint({FORGET_AFTER_COVERS_LIFETIMES});
  mint({MINT_FROM_MEMORY});
  mint({CLOCK_BEFORE_MINT_TEST});
  subject({});
  subject({NO_IAT_COMPARISON});
  subject({SIGN_IN_COMPARES_GENERATION});
  subject({GENERATION_BEFORE_PASSWORD});
  slots({});
  slots({TOMBSTONE_NOT_A_HOLE});
  slots({OPEN_UNTIL_LOGGED});
  slots({LISTED_UNTIL_LOGGED});
  slots({GENERATION_BEFORE_LIST});
  slots({GENERATION_NEVER_REPEATS});
  slots({DURABLE_BEFORE_RETURN});
  slots({DURABLE_SIGN_IN});
  slots({SIGN_IN_COMPARES_GENERATION});
  slots({GENERATION_BEFORE_PASSWORD});

  breaks("late, sweeps", {RENEW_BEFORE_READ});
  breaks("late, sweeps", {COUNTER_NEVER_REPEATS});
  breaks("late", {JOIN_ACKNOWLEDGES_NOTHING});
  breaks("1 node", {STORE_NEVER_ACKNOWLEDGES});
  breaks("1 node", {APPLY_BEFORE_ACKNOWLEDGE});
  breaks("2 revokers", {OWN_NODE_APPLIES_TOO});
  breaks("1 node", {CLOCK_COUNTS_SUSPEND});
  breaks("1 node", {CLOCK_BEFORE_SENDING});
  breaks("1 node", {APPLY_BEFORE_DEADLINE});
  breaks("lease 3, margin 1, drift", {MARGIN_COVERS_DRIFT});
  breaks("1 other change, pages", {LAST_PAGE_BEFORE_DEADLINE});
  breaks("1 other change, pages", {APPLIED_IS_WHAT_ARRIVED});
  breaks("trims", {TRIM_IS_TOLD});
  breaks("2 other changes, pages", {PAGES_COUNT_FROM_THE_FIRST});
  breaks("1 other change, pages, trims", {PAGES_ARE_TOLD_TOO});
  breaks("sweeps", {MISSING_ROW_IS_TOLD});
  breaks("trims", {DROP_FORGETS_SESSIONS});
  breaks("trims", {DROP_MARKS_FILLS});
  breaks("verifiers, sweeps", {NEGATIVE_KNOWLEDGE_IS_KEPT});
  breaks("2 nodes", {ONE_ID_ONE_PROCESS});
  breaks("1 node", {ONE_LEASE_LENGTH});

  breaks("verifiers", {ROW_BEFORE_JOIN_READ});
  breaks("verifiers", {JOIN_READS_THE_LOG});
  breaks("crashes", {LEAVE_AFTER_LAST_ANSWER});

  breaks("1 node", {LEASE_BEFORE_ANSWER});
  breaks("1 node", {DEADLINE_BEFORE_MEMORY});
  breaks("rides", {RIDE_UNDER_LIVE_LEASE});
  breaks("rides", {RIDE_ONLY_UNMARKED});
  breaks("1 node", {READ_FROM_PRIMARY});
  breaks("1 node", {CHANGES_MARK_FILLS});
  breaks("1 node", {MARK_AND_INSERT_AT_ONCE});
  breaks("1 node", {OWN_WRITES_ARE_FILLS});

  breaks("1 node", {COMMIT_BEFORE_LIST});
  breaks("1 node", {CLOCK_AFTER_COMMIT});
  breaks("1 node", {WAIT_ON_OWN_CLOCK});
  breaks("1 node", {WAIT_OUT_THE_LEASE});
  breaks("1 node", {UPDATES_WAIT_TOO});
  breaks("1 node", {LOST_STORE_RAISES});
  breaks("new epoch", {BARRIER_STAYS_IN_ITS_EPOCH});
  breaks("2 revokers", {SHARE_ONLY_A_LATER_LIST});
  breaks("2 revokers", {SHARE_TO_OWN_POSITION});
  breaks("2 revokers", {SHARE_ON_THE_LATEST_CLOCK});
  breaks("sweeps", {SWEEP_BY_COUNTER});
  breaks("sweeps", {SWEEP_WAITS_OUT_THE_LEASE});
  breaks("sweeps", {SWEEP_BY_COMPARE});
  breaks("2 revokers, sweeps", {SWEEP_ONLY_THE_SILENT});
  breaks("new epoch", {HEARTBEAT_NAMES_ITS_EPOCH});
  breaks("new epoch", {NEW_EPOCH_WAITS_OUT_THE_LEASE});
  breaks("new epoch, jwts", {KEYS_BELONG_TO_AN_EPOCH});

  // Nets under nets: each of these may be taken away alone.
  const char* two_nets = quick ? "jwts, late, sweeps, trims" : "rides, jwts, late, crashes, sweeps, trims";
  still_holds(two_nets, {FILL_UNDER_LIVE_LEASE});
  still_holds(two_nets, {JOIN_KEEPS_NOTHING});
  breaks("1 node", {FILL_UNDER_LIVE_LEASE, JOIN_KEEPS_NOTHING});
  still_holds(two_nets, {BEAT_CREATES_NO_ROW});
  breaks("sweeps", {RENEW_BEFORE_READ, BEAT_CREATES_NO_ROW});
  still_holds(two_nets, {TOLD_ENDS_LEASE});
  breaks("1 other change, trims", {TOLD_ENDS_LEASE, JOIN_KEEPS_NOTHING});

  add_replicas(cases, quick);

  embedded(false, {});
  embedded(true, {});
  embedded(false, {COMMIT_BEFORE_PULSE});
  embedded(false, {PULSE_BEFORE_RETURN});
  embedded(false, {PULSE_BEFORE_MEMORY});
  embedded(false, {LOG_BEFORE_NOTING});
  embedded(false, {NOTE_THE_EARLIER_PULSE});
  embedded(true, {OWN_WRITES_DROP_MEMORY});
  embedded(false, {CHANGES_MARK_FILLS});
  embedded(false, {MARK_AND_INSERT_AT_ONCE});
  return cases;
}
