// The rules of the protocol that can be taken away, one by one: name, paragraph of the protocol, and the rule.
//
// The names are used in comments and tests of the package, too. README.md has the same table with what each run showed.

#pragma once

#include <cstdint>
#include <cstring>
#include <string>

#define ALL_GUARDS(G)                                                                                                \
  G(POSITIONS_IN_COMMIT_ORDER, "Log", "positions follow the order of the commits; a sequence's numbers do not")      \
  G(ROW_BEFORE_LOG, "Log", "where they share no transaction: first the row, then the log")                           \
  G(REVOKE_AGAIN_WAITS, "Log", "revoking what is revoked already, or absent, appends and waits again")               \
  G(WRITES_CHANGE_WHAT_EXISTS, "Log", "a write changes a row that exists; it never brings one back")                 \
  G(FORGET_AFTER_COVERS_LEASE, "Log", "a change is remembered one lease longer than a JWT lives")                    \
  G(FORGET_AFTER_COVERS_CLOCKS, "Log", "a change is remembered longer by what two pairs of clocks may differ")       \
  G(FORGET_AFTER_COVERS_LIFETIMES, "Log", "a change is remembered for the longest lifetime that anybody may mint")   \
  G(NO_IAT_COMPARISON, "Log", "nothing compares iat with the time of a revocation")                                  \
  G(SIGN_IN_COMPARES_GENERATION, "Log", "a sign-in is refused when the subject's generation has moved")              \
  G(GENERATION_BEFORE_PASSWORD, "Log", "a sign-in reads the generation before it checks the password")               \
  G(TOMBSTONE_NOT_A_HOLE, "Log", "what is ended leaves a tombstone: no late request makes it anew")                  \
  G(OPEN_UNTIL_LOGGED, "Log", "what was changed stays open, beside its row, until the log has it")                   \
  G(LISTED_UNTIL_LOGGED, "Log", "a session stays in its subject's list until the log has its end")                   \
  G(GENERATION_BEFORE_LIST, "Log", "revoke_user raises the generation, and then reads what is listed")               \
  G(GENERATION_NEVER_REPEATS, "Log", "no generation is given out twice, also when the first time is lost")           \
  G(DURABLE_BEFORE_RETURN, "Log", "a revocation returns when it is durable")                                         \
  G(DURABLE_SIGN_IN, "Log", "a sign-in returns when it is durable")                                                  \
  G(RENEW_BEFORE_READ, "Heartbeat", "the row is written and committed; only then are the changes read")              \
  G(COUNTER_NEVER_REPEATS, "Heartbeat", "a row's counter takes each value once, also when a request comes twice")    \
  G(JOIN_ACKNOWLEDGES_NOTHING, "Heartbeat", "a join writes applied 0")                                               \
  G(STORE_NEVER_ACKNOWLEDGES, "Heartbeat", "applied is only ever what the node itself said")                         \
  G(APPLY_BEFORE_ACKNOWLEDGE, "Heartbeat", "a position is acknowledged after it is applied")                         \
  G(OWN_NODE_APPLIES_TOO, "Heartbeat", "the revoker's own node, too, applies what lies before its change")           \
  G(CLOCK_COUNTS_SUSPEND, "Heartbeat", "the node's clock counts suspend")                                            \
  G(CLOCK_BEFORE_SENDING, "Heartbeat", "the clock is read before the heartbeat is sent")                             \
  G(APPLY_BEFORE_DEADLINE, "Heartbeat", "changes are applied, and only then the deadline moves")                     \
  G(MARGIN_COVERS_DRIFT, "Heartbeat", "the lease is shorter, and the wait longer, by what clocks may drift")         \
  G(LAST_PAGE_BEFORE_DEADLINE, "Heartbeat", "the deadline moves once the head that the first page named is applied") \
  G(APPLIED_IS_WHAT_ARRIVED, "Heartbeat", "applied is the last change received, not the head that was named")        \
  G(PAGES_COUNT_FROM_THE_FIRST, "Heartbeat", "the deadline is counted from when the first page was asked for")       \
  G(TRIM_IS_TOLD, "Heartbeat", "who is behind the trimmed part of the log is told")                                  \
  G(PAGES_ARE_TOLD_TOO, "Heartbeat", "who falls behind the trimmed part between two pages is told")                  \
  G(MISSING_ROW_IS_TOLD, "Heartbeat", "who has no row any more is told")                                             \
  G(BEAT_CREATES_NO_ROW, "Heartbeat", "a heartbeat changes a row that exists; only a join makes one")                \
  G(DROP_FORGETS_SESSIONS, "Heartbeat", "who lost its place forgets its sessions")                                   \
  G(DROP_MARKS_FILLS, "Heartbeat", "who lost its place marks every fill under way")                                  \
  G(NEGATIVE_KNOWLEDGE_IS_KEPT, "Heartbeat", "what is known to be revoked stays until the join has brought it anew") \
  G(TOLD_ENDS_LEASE, "Heartbeat", "who lost its place answers nothing from memory until it has joined")              \
  G(ONE_ID_ONE_PROCESS, "Heartbeat", "no two processes have one id, a fork's child included")                        \
  G(ONE_LEASE_LENGTH, "Heartbeat", "the lease has one length for all, which the store names")                        \
  G(ROW_BEFORE_JOIN_READ, "Join", "the row is written; only then are the changes read")                              \
  G(JOIN_READS_THE_LOG, "Join", "a join reads every unforgotten change")                                             \
  G(JOIN_KEEPS_NOTHING, "Join", "nothing read before the join is kept")                                              \
  G(LEAVE_AFTER_LAST_ANSWER, "Join", "who leaves answers nothing from memory before its row goes")                   \
  G(LEASE_BEFORE_ANSWER, "Check", "without a live lease nothing is answered from memory")                            \
  G(DEADLINE_BEFORE_MEMORY, "Check", "first the deadline is looked at, then memory")                                 \
  G(RIDE_UNDER_LIVE_LEASE, "Check", "a check may ride on a read only if it begins under a live lease itself")        \
  G(RIDE_ONLY_UNMARKED, "Check", "a check may ride only on a read that ends unmarked")                               \
  G(READ_FROM_PRIMARY, "Check", "rows are read from the primary, never from a replica")                              \
  G(FILL_UNDER_LIVE_LEASE, "Fill", "a fill begins under a live lease")                                               \
  G(CHANGES_MARK_FILLS, "Fill", "an applied change marks the fills under way that it names")                         \
  G(MARK_AND_INSERT_AT_ONCE, "Fill", "testing the mark and inserting are one step")                                  \
  G(OWN_WRITES_ARE_FILLS, "Fill", "a node's own write that it keeps is a fill like any other")                       \
  G(MINT_FROM_MEMORY, "Mint", "a JWT is signed for the session that is current in memory, not for an object")        \
  G(CLOCK_BEFORE_MINT_TEST, "Mint", "first the clock is read, then lease and session are tested")                    \
  G(COMMIT_BEFORE_LIST, "Barrier", "the list of nodes is read after the commit")                                     \
  G(CLOCK_AFTER_COMMIT, "Barrier", "the wait is counted from after the commit")                                      \
  G(WAIT_ON_OWN_CLOCK, "Barrier", "the wait is counted on the revoker's own clock, not on the store's wall clock")   \
  G(WAIT_OUT_THE_LEASE, "Barrier", "who does not answer is waited for one whole lease")                              \
  G(UPDATES_WAIT_TOO, "Barrier", "renew and update_claims are barriers, too")                                        \
  G(LOST_STORE_RAISES, "Barrier", "when the store is lost during the wait, the call raises")                         \
  G(BARRIER_STAYS_IN_ITS_EPOCH, "Barrier", "rows of another epoch, or missing in one, count for nothing")            \
  G(SHARE_ONLY_A_LATER_LIST, "Barrier", "a barrier is shared only if its list is read after one's own commit")       \
  G(SHARE_TO_OWN_POSITION, "Barrier", "a shared barrier waits for one's own position, too")                          \
  G(SHARE_ON_THE_LATEST_CLOCK, "Barrier", "a shared barrier counts from the latest commit of those who share it")    \
  G(SWEEP_BY_COUNTER, "Sweep", "a row is deleted by its counter and the deleter's clock, not by the store's")        \
  G(SWEEP_WAITS_OUT_THE_LEASE, "Sweep", "a row is deleted only when its counter stood still for lease + margin")     \
  G(SWEEP_BY_COMPARE, "Sweep", "a row is deleted in one step with the comparison of its counter")                    \
  G(SWEEP_ONLY_THE_SILENT, "Sweep", "a row is never deleted because a barrier ran out")                              \
  G(HEARTBEAT_NAMES_ITS_EPOCH, "Epoch", "a heartbeat of another epoch is told so: memory is dropped")                \
  G(NEW_EPOCH_WAITS_OUT_THE_LEASE, "Epoch", "until an epoch is one lease old, a barrier waits a whole lease")        \
  G(KEYS_BELONG_TO_AN_EPOCH, "Epoch", "where the log was lost, no key of before is believed")                        \
  G(ROW_ONLY_UNDER_REGISTERED_NAME, "Replicas", "a row counts only under the name that home has registered")         \
  G(LOG_ONLY_UNDER_REGISTERED_NAME, "Replicas", "a line is appended only under the name registered for its row")     \
  G(NAMES_BY_BUCKET, "Replicas", "a name is registered for a bucket, not for a shard: a bucket may move")            \
  G(RENAME_WHAT_IS_THERE, "Replicas", "with a bucket are renamed those that lie beside it now, not those that did")  \
  G(PROOF_BEFORE_REGISTERING, "Replicas", "a name is registered after a write on its server was durable")            \
  G(READ_BEFORE_PROOF, "Replicas", "who registers a name reads the registered one before the proof")                 \
  G(REGISTER_BY_COMPARE, "Replicas", "a name is registered in place of the one that was read")                       \
  G(REGISTER_IN_ITS_EPOCH, "Replicas", "a name is registered in the epoch in which the registered one was read")     \
  G(KEYS_GO_WITH_A_NAME, "Replicas", "with a name the signing keys go: a lost version is given out again")           \
  G(KEYS_OF_OWN_EPOCH, "Replicas", "a node takes only keys of the epoch that its memory is of")                      \
  G(NEW_HISTORY_NEW_ERA, "Replicas", "when home's own history is another, a new era begins")                         \
  G(ERA_COUNTS_WHEN_DURABLE, "Replicas", "an era counts after a write behind its beginning was durable")             \
  G(DURABLE_JOIN, "Replicas", "a join counts when it is durable")                                                    \
  G(DURABLE_HEARTBEAT, "Replicas", "a heartbeat's answer counts when the heartbeat is durable")                      \
  G(WRITE_BEFORE_WAITING, "Replicas", "who finds all done writes all the same, and then waits for the disks")        \
  G(HIGHEST_EPOCH_ONLY, "Replicas", "home's answer is not believed under a lower epoch than was seen")               \
  G(PROOF_NAMES_ITS_EPOCH, "Replicas", "a proof makes believed the epoch of the server that gave it, and no other")  \
  G(EVERY_ANSWER_NAMES_ITS_EPOCH, "Replicas", "home names its epoch in every answer, also when it has only written") \
  G(RUN_ON_PRIMARY, "Replicas", "a script does nothing on a replica, whose history has its primary's name")          \
  G(COMMIT_BEFORE_PULSE, "Embedded", "a writer moves the pulse after its commit")                                    \
  G(PULSE_BEFORE_RETURN, "Embedded", "a writer moves the pulse before its call returns")                             \
  G(PULSE_BEFORE_MEMORY, "Embedded", "first the pulse is read, then memory")                                         \
  G(LOG_BEFORE_NOTING, "Embedded", "the log is applied before the pulse is noted")                                   \
  G(NOTE_THE_EARLIER_PULSE, "Embedded", "what is noted is the pulse that was read before the log")                   \
  G(OWN_WRITES_DROP_MEMORY, "Embedded", "the process's own writes drop what they change before they return")

#define GUARD_ID(id, paragraph, rule) id,
enum Guard { ALL_GUARDS(GUARD_ID) GUARDS };
#undef GUARD_ID

struct GuardText {
  std::string name;
  const char* paragraph;
  const char* rule;
};

inline const GuardText& text_of(int guard) {
  // COMMIT_BEFORE_LIST is spoken commit-before-list.
  static const auto spoken = [](std::string id) {
    for (char& c : id) c = c == '_' ? '-' : static_cast<char>(c + ('a' - 'A'));
    return id;
  };
#define GUARD_TEXT(id, paragraph, rule) {spoken(#id), paragraph, rule},
  static const GuardText texts[] = {ALL_GUARDS(GUARD_TEXT)};
#undef GUARD_TEXT
  return texts[guard];
}

// A set of guards: those that a run is without.
class Guards {
 public:
  Guards() = default;
  Guards(std::initializer_list<Guard> guards) {
    for (Guard guard : guards) add(guard);
  }
  void add(int guard) { bits_[guard / 64] |= 1ULL << guard % 64; }
  bool has(int guard) const { return bits_[guard / 64] >> guard % 64 & 1; }

 private:
  std::uint64_t bits_[2] = {0, 0};
};

static_assert(GUARDS <= 128, "a set of guards has two words");
