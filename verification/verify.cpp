// Runs the cases and says what came of them. README.md says what they mean.

#include <unistd.h>

#include <cstdlib>
#include <ctime>
#include <fstream>
#include <iostream>
#include <sstream>

#include "cases.hpp"

namespace {

struct Options {
  bool quick = false, list = false, traces = true;
  std::string json, only, scope;
  std::vector<std::string> without;
  u64 states = Limits{}.states;
};

const char* const USAGE =
    "usage: verify [--quick] [--json FILE] [--no-traces] [--case PART]   run the cases (whose name has PART in it)\n"
    "       verify --list                                               the guards, and the cases\n"
    "       verify --scope WORDS [--without GUARD]…                     one run of your own, as in\n"
    "              verify --scope '2 nodes, late, sweeps' --without renew-before-read\n"
    "       --states N   give up beyond N states\n";

[[noreturn]] void refuse(const std::string& why) {
  std::cerr << "verify: " << why << "\n" << USAGE;
  std::exit(2);
}

Options read_options(int count, char** words) {
  Options options;
  for (int n = 1; n < count; ++n) {
    const std::string word = words[n];
    const auto value = [&] {
      if (n + 1 == count) refuse(word + " needs a value");
      return std::string(words[++n]);
    };
    if (word == "--quick") options.quick = true;
    else if (word == "--list") options.list = true;
    else if (word == "--no-traces") options.traces = false;
    else if (word == "--json") options.json = value();
    else if (word == "--case") options.only = value();
    else if (word == "--scope") options.scope = value();
    else if (word == "--without") options.without.push_back(value());
    else if (word == "--states") options.states = std::strtoull(value().c_str(), nullptr, 10);
    else if (word == "--help") std::cout << USAGE, std::exit(0);
    else refuse("what is " + word + "?");
  }
  return options;
}

std::string with_commas(u64 number) {
  std::string text = std::to_string(number);
  for (int at = static_cast<int>(text.size()) - 3; at > 0; at -= 3) text.insert(at, ",");
  return text;
}

const char* word_for(Outcome::Kind kind) {
  return kind == Outcome::HOLDS ? "HOLDS" : kind == Outcome::BREAKS ? "BREAKS" : "TOO MANY STATES";
}

Outcome run(const Case& one, const Options& options) {
  Limits limits;
  limits.states = options.states;
  const bool watched = isatty(STDERR_FILENO);
  if (watched) {
    limits.progress = [&](u64 seen, u64 open) {
      std::cerr << "\r\033[K" << one.name << ": " << with_commas(seen) << " of " << with_commas(open) << " states"
                << std::flush;
    };
  }
  const Outcome outcome = one.run(limits);
  if (watched) std::cerr << "\r\033[K";
  return outcome;
}

// A run without a guard that breaks has not been through everything: only of one that holds must all goals be met.
bool as_expected(const Case& one, const Outcome& outcome) {
  return outcome.kind == one.expected && (outcome.kind == Outcome::BREAKS || outcome.missed.empty());
}

void print(const Case& one, const Outcome& outcome, double seconds, bool trace) {
  const bool breaks = outcome.kind == Outcome::BREAKS;
  std::printf("%c %-54s %-7s %11s states", as_expected(one, outcome) ? ' ' : '!', one.name.c_str(),
              word_for(outcome.kind), with_commas(outcome.states).c_str());
  if (breaks) std::printf(", in %d steps", static_cast<int>(outcome.trace.size()));
  std::printf("  %.1f s\n", seconds);
  if (outcome.kind != one.expected) std::printf("!   expected: %s\n", word_for(one.expected));
  for (const auto& goal : outcome.missed) {
    if (!breaks) std::printf("!   never met: %s\n", goal.c_str());
  }
  int n = 0;
  for (const auto& step : outcome.trace) {
    if (trace) std::printf("      %2d  %s\n", ++n, step.c_str());
  }
  std::fflush(stdout);
}

Outcome run_and_print(const Case& one, const Options& options) {
  const std::clock_t began = std::clock();
  Outcome outcome = run(one, options);
  print(one, outcome, static_cast<double>(std::clock() - began) / CLOCKS_PER_SEC, options.traces);
  return outcome;
}

// --- JSON ---

std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + '"';
}

template <class List, class To>
std::string listed(const List& list, To to) {
  std::string out = "[";
  for (const auto& item : list) out += (out.size() > 1 ? ", " : "") + to(item);
  return out + "]";
}

std::string as_json(const Case& one, const Outcome& outcome) {
  std::ostringstream out;
  out << "{\"case\": " << quoted(one.name) << ", \"model\": " << quoted(one.model)
      << ", \"scope\": " << quoted(one.scope)
      << ", \"without\": " << listed(one.without, [](int guard) { return quoted(text_of(guard).name); })
      << ", \"expected\": " << quoted(word_for(one.expected)) << ", \"result\": " << quoted(word_for(outcome.kind))
      << ", \"as_expected\": " << (as_expected(one, outcome) ? "true" : "false") << ", \"states\": " << outcome.states
      << ", \"never_met\": "
      << listed(outcome.kind == Outcome::BREAKS ? std::vector<std::string>{} : outcome.missed, quoted)
      << ", \"trace\": " << listed(outcome.trace, quoted) << "}";
  return out.str();
}

std::string as_json(int guard) {
  const GuardText& text = text_of(guard);
  return "{\"name\": " + quoted(text.name) + ", \"paragraph\": " + quoted(text.paragraph) +
         ", \"rule\": " + quoted(text.rule) + "}";
}

// --- what one may ask for ---

int list() {
  for (int guard = 0; guard < GUARDS; ++guard) {
    std::printf("%-10s %-30s %s\n", text_of(guard).paragraph, text_of(guard).name.c_str(), text_of(guard).rule);
  }
  std::printf("\n");
  for (const Case& one : all_cases(false))
    std::printf("%-42s %-9s %s\n", one.name.c_str(), one.model.c_str(), one.scope.c_str());
  return 0;
}

int run_own(const Options& options) {
  std::vector<Guard> without;
  for (const auto& name : options.without) {
    int guard = 0;
    while (guard < GUARDS && text_of(guard).name != name) ++guard;
    if (guard == GUARDS) refuse("there is no guard " + name + "; try --list");
    without.push_back(static_cast<Guard>(guard));
  }
  try {
    const auto make = is_of_replicas(options.scope) ? replicas_case : lease_case;
    const Case own = make("your own", options.scope, without, Outcome::HOLDS);
    return !as_expected(own, run_and_print(own, options));
  } catch (const std::invalid_argument& error) {
    refuse(error.what());
  }
}

int run_all(const Options& options) {
  std::vector<std::string> results;
  int wrong = 0, count = 0;
  for (const Case& one : all_cases(options.quick)) {
    if (one.name.find(options.only) == std::string::npos) continue;
    const Outcome outcome = run_and_print(one, options);
    results.push_back(as_json(one, outcome));
    wrong += !as_expected(one, outcome);
    ++count;
  }
  if (!options.json.empty()) {
    std::ofstream file(options.json);
    file << "{\"guards\": [\n";
    for (int guard = 0; guard < GUARDS; ++guard) file << as_json(guard) << (guard + 1 < GUARDS ? ",\n" : "\n");
    file << "], \"cases\": [\n";
    for (std::size_t n = 0; n < results.size(); ++n) file << results[n] << (n + 1 < results.size() ? ",\n" : "\n");
    file << "]}\n";
    if (!file) refuse("cannot write " + options.json);
  }
  std::printf("\n%d cases, %d of them not as expected\n", count, wrong);
  return wrong || !count;
}

}  // namespace

int main(int count, char** words) {
  const Options options = read_options(count, words);
  if (options.list) return list();
  return options.scope.empty() ? run_all(options) : run_own(options);
}
