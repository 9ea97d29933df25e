// The space that a sweep searches: fields of the job and the values that each may have.
//
//   optimizer.learning_rate=log(1e-4,1e-1)   uniform in the logarithm
//   model.layers[3].dropout.rate=uniform(0,0.5)
//   model.layers[1].dense.units=16..256      whole numbers, both ends too; also int(16,256)
//   model.layers[1].dense.units=int(16,256,16)    every 16th
//   batch_size=int_log(16,512)
//   optimizer=[{adam {}}, {sgd {momentum: 0.9}}]  choices: what --set takes for the field
//
// A value is a text as --set takes it (worker/job_override.h). Numbers that are drawn have six
// significant digits, so that they are the same on every machine.
//
// A setting is a value for each parameter, in their order. Settings are a pure function of seed,
// trial and parameters: whatever ran before, and wherever.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace trireme::sweep {

enum class ParameterKind { kChoices, kIntegers, kUniform, kLog, kLogIntegers };

struct Parameter {
  std::string path;    // as in --set, or a pattern that resolve_path() makes one of
  std::string spec;    // behind the equals sign
  std::string origin;  // for messages: "--vary PATH=SPEC", "FILE:LINE: PATH=SPEC"
  ParameterKind kind = ParameterKind::kChoices;
  std::vector<std::string> choices;
  double low = 0, high = 0;               // kUniform, kLog
  int64_t first = 0, last = 0, step = 1;  // kIntegers, kLogIntegers

  // How many values there are; nothing: a range of real numbers.
  std::optional<int64_t> count() const;
  // REQUIRES: it has a count, 0 ≤ index < count.
  std::string value(int64_t index) const;
  // The values of a grid: all, or so many of a range; nothing: all of them, which a range of real
  // numbers has not. Throws Error{kInvalidArgument} where `points` are needed.
  std::vector<std::string> grid(std::optional<int64_t> points) const;
  // Two values between which, in the order of their spec, all others lie; all choices.
  std::vector<std::string> extremes() const;
};

// "PATH=SPEC". `source`: "--vary ", "FILE:LINE: ". Throws Error{kInvalidArgument} with the
// character at which `text` is wrong.
Parameter parse_parameter(const std::string& text, const std::string& source);

// A file of such lines; `#` begins a comment, blank lines count for nothing. Throws
// Error{kInvalidArgument}, {kNotFound}.
std::vector<Parameter> read_space_file(const std::string& path);

using Setting = std::vector<std::string>;

class Space {
 public:
  // REQUIRES: `parameters` is not empty.
  Space(std::vector<Parameter> parameters, uint64_t seed);

  const std::vector<Parameter>& parameters() const { return parameters_; }
  // How many settings there are; nothing: ranges of real numbers, or more than 10⁶.
  std::optional<int64_t> size() const { return size_; }

  // The setting that trial `number`, from 0, of a random search has. Those of a space with a size
  // differ as long as there are others.
  Setting draw(int64_t number);

  // All settings of a grid; the last parameter varies fastest. Throws Error{kInvalidArgument} for
  // more than kMaxTrials.
  std::vector<Setting> grid(std::optional<int64_t> points) const;

 private:
  Setting draw_once(int64_t number) const;
  Setting next_unused(Setting setting) const;

  std::vector<Parameter> parameters_;
  uint64_t seed_;
  std::optional<int64_t> size_;
  std::vector<Setting> drawn_;  // of the trials before
  std::set<Setting> used_;
};

inline constexpr int64_t kMaxTrials = 100'000;

}  // namespace trireme::sweep
