#include "tests/support/exposition.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <regex>
#include <sstream>

#include "core/base/error.h"
#include "tests/support/process.h"

namespace trireme::testing {
namespace {

// "trireme_x_bucket" belongs to the histogram trireme_x.
std::string family_of(const std::string& name, const std::map<std::string, std::string>& types) {
  for (const char* suffix : {"_bucket", "_sum", "_count"}) {
    const std::string base =
        name.ends_with(suffix) ? name.substr(0, name.size() - std::string(suffix).size()) : "";
    const auto type = types.find(base);
    if (type != types.end() && type->second == "histogram") return base;
  }
  return name;
}

// `text` from `at`, behind '{': the labels; `at` is behind '}' after that. False: malformed.
bool parse_labels(const std::string& text, size_t& at, SampleLabels& labels) {
  static const std::regex kName("^[a-zA-Z_][a-zA-Z0-9_]*$");
  while (at < text.size() && text[at] != '}') {
    const size_t equals = text.find("=\"", at);
    if (equals == std::string::npos) return false;
    const std::string name = text.substr(at, equals - at);
    if (!std::regex_match(name, kName) || name.starts_with("__")) return false;
    std::string value;
    for (at = equals + 2; at < text.size() && text[at] != '"'; ++at) {
      if (text[at] == '\\') {
        if (++at == text.size() || std::string("\\\"n").find(text[at]) == std::string::npos) {
          return false;
        }
        value += text[at] == 'n' ? '\n' : text[at];
      } else {
        value += text[at];
      }
    }
    if (at == text.size() || !labels.emplace(name, value).second) return false;
    ++at;
    if (at < text.size() && text[at] == ',') ++at;
  }
  return at++ < text.size();
}

bool parse_value(const std::string& text, double& value) {
  static const std::map<std::string, double> kSpecial = {
      {"NaN", NAN}, {"+Inf", INFINITY}, {"-Inf", -INFINITY}};
  if (const auto found = kSpecial.find(text); found != kSpecial.end()) {
    value = found->second;
    return true;
  }
  char* end = nullptr;
  value = std::strtod(text.c_str(), &end);
  return !text.empty() && *end == '\0' && std::isfinite(value);
}

}  // namespace

std::set<std::string> Exposition::families() const {
  std::set<std::string> names;
  for (const auto& [name, type] : types) names.insert(name);
  return names;
}

std::vector<Sample> Exposition::find(const std::string& name, const SampleLabels& labels) const {
  std::vector<Sample> found;
  for (const Sample& sample : samples) {
    const bool fits = std::ranges::all_of(labels, [&](const auto& label) {
      const auto own = sample.labels.find(label.first);
      return own != sample.labels.end() && own->second == label.second;
    });
    if (sample.name == name && fits) found.push_back(sample);
  }
  return found;
}

double Exposition::value(const std::string& name, const SampleLabels& labels) const {
  const auto found = find(name, labels);
  if (found.size() != 1) {
    throw Error(ErrorCode::kNotFound, str_cat(name, ": ", found.size(), " samples"));
  }
  return found[0].value;
}

Exposition parse_exposition(const std::string& text) {
  Exposition all;
  const auto problem = [&](const auto&... what) { all.problems.push_back(str_cat(what...)); };
  if (!text.ends_with('\n')) problem("the last line has no end");
  std::istringstream lines(text);
  std::string family;
  std::set<std::string> ended;
  std::set<std::pair<std::string, SampleLabels>> seen;
  for (std::string line; std::getline(lines, line);) {
    std::smatch match;
    static const std::regex kMeta("# (HELP|TYPE) ([a-zA-Z_:][a-zA-Z0-9_:]*) (.+)");
    if (line.starts_with("#")) {
      if (!std::regex_match(line, match, kMeta)) {
        problem("not understood: ", line);
        continue;
      }
      auto& known = match[1] == "HELP" ? all.helps : all.types;
      if (!known.emplace(match[2], match[3]).second) problem("said twice: ", line);
      if (match[2] != family) {
        ended.insert(family);
        family = match[2];
        if (ended.contains(family)) problem("a family in two places: ", family);
      }
      continue;
    }
    static const std::regex kName("^([a-zA-Z_:][a-zA-Z0-9_:]*)");
    Sample sample;
    if (!std::regex_search(line, match, kName)) {
      problem("not understood: ", line);
      continue;
    }
    sample.name = match[1];
    size_t at = sample.name.size();
    if (at < line.size() && line[at] == '{' && !parse_labels(line, ++at, sample.labels)) {
      problem("labels are malformed: ", line);
      continue;
    }
    sample.text = at < line.size() ? line.substr(at + 1) : "";
    if (line[at] != ' ' || !parse_value(sample.text, sample.value)) problem("value of: ", line);
    if (family_of(sample.name, all.types) != family) problem("outside its family: ", line);
    if (!seen.emplace(sample.name, sample.labels).second) problem("twice: ", line);
    const std::string& type = all.types[family];
    if (type == "counter" && !(sample.value >= 0)) problem("a counter below 0: ", line);
    all.samples.push_back(std::move(sample));
  }
  for (const auto& [name, type] : all.types) {
    const bool is_counter = type == "counter";
    if (is_counter != name.ends_with("_total")) problem(type, " named ", name);
    if (!all.helps.contains(name)) problem(name, " has no HELP");
    const bool has_samples = std::ranges::any_of(all.samples, [&](const Sample& sample) {
      return family_of(sample.name, all.types) == name;
    });
    if (!has_samples) problem(name, " has no sample");
  }
  return all;
}

std::string promtool_findings(const std::string& text) {
  TemporaryDirectory folder;
  const char* given = std::getenv("PROMTOOL");
  const std::string tool = given != nullptr ? given : "promtool";
  if (run({"/usr/bin/env", "sh", "-c", "command -v " + tool}).exit_code != 0) return "";
  const ProcessResult result =
      run({"/usr/bin/env", "sh", "-c", tool + " check metrics < " + folder.write("metrics", text)});
  return result.exit_code == 0 ? "" : result.out + result.err;
}

}  // namespace trireme::testing
