// Replicated and split stores: which states are alike, so that one of them is looked at for all.

#pragma once

#include "replicas_node.hpp"

class ReplicasAlike : public ReplicasNode {
 public:
  using ReplicasNode::ReplicasNode;

  State canonical(State s) const {
    if (s.node.id) other_id(s);
    for (Home& h : s.home) {
      if (!h.row) h.id = 0;
    }
    if (is_silent(s)) silence(s);
    if (s.revoker.phase == RETURNED) nobody_waits(s);
    return s;
  }

 private:
  // The node has two ids, in turn: only which of them is whose counts.
  static void other_id(State& s) {
    s.node.id = 0;
    for (Home& h : s.home) h.id = 1 - h.id;
    if (s.revoker.awaits == ROW_0) s.revoker.awaits = ROW_1;
    else if (s.revoker.awaits == ROW_1) s.revoker.awaits = ROW_0;
  }

  // A deposed server whose era is not sure, and will not be: nobody ever hears of it.
  bool is_silent(const State& s) const {
    return with(ERA_COUNTS_WHEN_DURABLE) && with(NEW_HISTORY_NEW_ERA) && with(RUN_ON_PRIMARY) && home_promoted(s) &&
           s.registrar.era != 2 && !(s.home[0].sure && s.home[0].known == home_name(s, 0));
  }

  static void silence(State& s) {
    s.home[0] = Home{};
    s.home[0].known = FIRST;
    s.registrar.era = 0;
  }

  // What only a barrier looks at, after the last one.
  static void nobody_waits(State& s) {
    for (Home& h : s.home) h.young = h.applied = h.of_epoch = 0;
  }
};
