// A small explicit-state checker.
//
// It walks through every state that a model can reach, breadth first, so that the first violation it meets is one that
// no shorter run reaches. States are kept whole (packed into a few words, never only as hashes): "holds" means that
// every reachable state was looked at, not that it probably was. Same model, same result, same numbers, everywhere.
//
// A model is a class with
//
//   State              a struct of SMALL numbers: no bit of it is without a name
//   first()            the state in which everything begins
//   canonical(state)   one state for all that differ in names only
//   next(state, go)    calls go(next, "what happens, in words with %d", …) for every step that is possible,
//                      go.accepts("…") where a step violates the property, and go.reached(n) where goal n is met
//   goals()            what must be met somewhere, or the model shows nothing (a model in which nobody ever accepts
//                      anything "holds", too)

#pragma once

#include <array>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

using u8 = std::uint8_t;
using u16 = std::uint16_t;
using u32 = std::uint32_t;
using u64 = std::uint64_t;

struct GoalText {
  int number;
  const char* text;
};

struct Limits {
  u64 states = 100'000'000;                          // more than this is no answer
  std::function<void(u64 seen, u64 open)> progress;  // told now and then
};

struct Outcome {
  enum Kind { HOLDS, BREAKS, TOO_MANY } kind = HOLDS;
  u64 states = 0;                   // looked at
  u64 steps = 0;                    // between them
  u32 depth = 0;                    // of the last state, in steps from the first
  std::vector<std::string> trace;   // the shortest run into the violation
  std::vector<std::string> missed;  // goals that no run meets
};

// --- small numbers ---

// SMALL(u64, name, 3) is a field of three bits. A number that does not fit would be cut off without a word, and states
// that differ would be taken for one; so there is a second build (-DCHECKED, slower) in which it is an error.
#ifndef CHECKED
#define SMALL(type, name, bits) type name : bits
#define SPARE(type, bits) type spare : bits
#else
template <int BITS>
class Bits {
 public:
  Bits& operator=(int value) {
    if (value < 0 || value >> BITS) throw std::logic_error("a field of the model is too small for its value");
    value_ = static_cast<u8>(value);
    return *this;
  }
  operator int() const { return value_; }
  Bits& operator|=(int bits) { return *this = value_ | bits; }
  Bits& operator&=(int bits) { return *this = value_ & bits; }

 private:
  u8 value_;
};
#define SMALL(type, name, bits) Bits<bits> name
#define SPARE(type, bits) static_assert(true, "")
#endif

template <class State>
using Words = std::array<u64, (sizeof(State) + 7) / 8>;

template <class State>
Words<State> words_of(const State& state) {
  Words<State> words{};
  std::memcpy(words.data(), &state, sizeof state);
  return words;
}

template <class State>
State state_of(const Words<State>& words) {
  State state;
  std::memcpy(static_cast<void*>(&state), words.data(), sizeof state);
  return state;
}

// --- the states seen so far: whole, in the order of discovery, each with the one it was reached from ---

template <class Words>
class Seen {
 public:
  static constexpr u32 NONE = 0xffffffff;

  u32 size() const { return count_; }
  const Words& state(u32 i) const { return chunks_[i >> BITS]->state[i & MASK]; }
  u32 parent(u32 i) const { return chunks_[i >> BITS]->parent[i & MASK]; }

  // Adds a state unless it is there already.
  void add(const Words& state, u32 parent) {
    if ((count_ + 1ULL) * 3 > table_.size() * 2ULL) grow();
    u64 slot = hash(state) & (table_.size() - 1);
    while (table_[slot]) {
      if (this->state(table_[slot] - 1) == state) return;
      slot = (slot + 1) & (table_.size() - 1);
    }
    if (!(count_ & MASK)) chunks_.emplace_back(new Chunk);
    chunks_.back()->state[count_ & MASK] = state;
    chunks_.back()->parent[count_ & MASK] = parent;
    table_[slot] = ++count_;
  }

 private:
  static constexpr u32 BITS = 12, MASK = (1U << BITS) - 1;
  struct Chunk {
    Words state[MASK + 1];
    u32 parent[MASK + 1];
  };

  static u64 hash(const Words& state) {
    u64 h = 0x9e3779b97f4a7c15;
    for (u64 word : state) {
      h = (h ^ word) * 0xff51afd7ed558ccd;
      h ^= h >> 32;
    }
    return h * 0xc4ceb9fe1a85ec53 >> 20;
  }

  void grow() {
    std::vector<u32>().swap(table_);  // the states are elsewhere: the old table need not live beside the new one
    table_.resize(table_size_ *= 2);
    for (u32 i = 0; i < count_; ++i) {
      u64 slot = hash(state(i)) & (table_.size() - 1);
      while (table_[slot]) slot = (slot + 1) & (table_.size() - 1);
      table_[slot] = i + 1;
    }
  }

  std::vector<std::unique_ptr<Chunk>> chunks_;
  std::vector<u32> table_;
  u64 table_size_ = 1 << 10;
  u32 count_ = 0;
};

// --- the walk ---

inline std::string in_words(const char* what, int a, int b) {
  char text[200];
  std::snprintf(text, sizeof text, what, a, b);  // NOLINT: the texts are the models' own
  return text;
}

template <class Model>
class Explorer {
 public:
  using State = typename Model::State;
  static_assert(std::has_unique_object_representations_v<State>, "a state is its bits, and each has a name");

  Explorer(const Model& model, const Limits& limits) : model_(model), limits_(limits) {}

  Outcome run() {
    Outcome outcome;
    seen_.add(words_of(model_.canonical(model_.first())), Seen<Words<State>>::NONE);
    u32 level_ends = 1;
    for (u32 i = 0; i < seen_.size() && !violated_; ++i) {
      if (i == level_ends) {
        level_ends = seen_.size();
        ++outcome.depth;
      }
      at_ = i;
      model_.next(state_of<State>(seen_.state(i)), *this);
      if (seen_.size() > limits_.states) {
        outcome.kind = Outcome::TOO_MANY;
        break;
      }
      if (limits_.progress && (i & 0xfffff) == 0xfffff) limits_.progress(i + 1, seen_.size());
    }
    outcome.states = seen_.size();
    outcome.steps = steps_;
    if (violated_) {
      outcome.kind = Outcome::BREAKS;
      outcome.trace = path(at_);
    }
    for (const GoalText& goal : model_.goals()) {
      if (!(met_ >> goal.number & 1)) outcome.missed.push_back(goal.text);
    }
    return outcome;
  }

  // What a model calls.
  void operator()(const State& state, const char*, int = 0, int = 0) {
    ++steps_;
    if (!violated_) seen_.add(words_of(model_.canonical(state)), at_);
  }
  void accepts(const char*, int = 0, int = 0) { violated_ = true; }
  void reached(int goal) { met_ |= 1ULL << goal; }

 private:
  // The same calls, to find the words for the step into one state, and that state under the names of this run.
  struct Namer {
    const Model& model;
    Words<State> wanted;
    State state;
    std::string words;
    void operator()(const State& next, const char* what, int a = 0, int b = 0) {
      if (!words.empty() || words_of(model.canonical(next)) != wanted) return;
      state = next;
      words = in_words(what, a, b);
    }
    void accepts(const char*, int = 0, int = 0) {}
    void reached(int) {}
  };

  // From the first state to this one, and the violation that was found there.
  std::vector<std::string> path(u32 to) const {
    std::vector<u32> states;
    for (u32 i = to; i != Seen<Words<State>>::NONE; i = seen_.parent(i)) states.push_back(i);
    std::vector<std::string> words;
    State state = model_.first();
    for (std::size_t n = states.size() - 1; n-- > 0;) {
      Namer namer{model_, seen_.state(states[n]), {}, {}};
      model_.next(state, namer);
      words.push_back(namer.words);
      state = namer.state;
    }
    Ending ending;
    model_.next(state, ending);
    words.push_back(ending.words);
    return words;
  }

  struct Ending {
    std::string words;
    void operator()(const State&, const char*, int = 0, int = 0) {}
    void accepts(const char* what, int a = 0, int b = 0) {
      if (words.empty()) words = in_words(what, a, b);
    }
    void reached(int) {}
  };

  const Model& model_;
  const Limits& limits_;
  Seen<Words<State>> seen_;
  u32 at_ = 0;
  u64 steps_ = 0, met_ = 0;
  bool violated_ = false;
};

template <class Model>
Outcome explore(const Model& model, const Limits& limits) {
  return Explorer<Model>(model, limits).run();
}
