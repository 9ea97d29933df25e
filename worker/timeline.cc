#include "worker/timeline.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <vector>

#include "core/base/error.h"
#include "core/base/logging.h"
#include "core/device/device.h"
#include "core/io/atomic_file.h"
#include "worker/broadcast_bytes.h"

namespace trireme {
namespace {

using Json = nlohmann::ordered_json;
namespace fs = std::filesystem;

const std::string kWhat = "the timeline";
constexpr int kClockRounds = 9;

// What has to be subtracted from this rank's clock to read rank 0's: all leave a barrier at about
// the same time; the median of several rounds leaves out the odd one that was scheduled late.
int64_t clock_offset(Communicator& communicator) {
  std::vector<int64_t> offsets;
  std::vector<int64_t> times(static_cast<size_t>(communicator.size()));
  for (int round = 0; round < kClockRounds; ++round) {
    communicator.set_label(kWhat, 0);
    communicator.barrier();
    int64_t now = Tracer::now_ns();
    communicator.set_label(kWhat, 0);
    communicator.all_gather({&now, 1, DType::kInt64},
                            {times.data(), communicator.size(), DType::kInt64});
    offsets.push_back(now - times[0]);
  }
  std::ranges::sort(offsets);
  return offsets[offsets.size() / 2];
}

Json to_json(const Span& span, int64_t offset) {
  return {{"name", span.name},
          {"op", span.operation},
          {"device", span.device},
          {"stream", span.stream},
          {"label", span.label},
          {"step", span.step},
          {"begin", span.begin_ns - offset},
          {"end", span.end_ns - offset}};
}

// One line of the trace: a device's stream.
int lane_of(const Json& span, std::map<std::string, int>& lanes) {
  const std::string name =
      span.at("device").get<std::string>() +
      (span.at("stream") == kCommunicationStream ? " communication" : " compute");
  return lanes.emplace(name, static_cast<int>(lanes.size())).first->second;
}

Json event(int rank, int lane, const std::string& name, const Json& span, int64_t begin,
           int64_t end) {
  Json arguments = {{"step", span.at("step")}, {"op", span.at("op")}};
  if (!span.at("label").get<std::string>().empty()) arguments["bucket"] = span.at("label");
  return {{"name", name},
          {"cat", span.at("op")},
          {"ph", "X"},
          {"pid", rank},
          {"tid", lane},
          {"ts", static_cast<double>(begin) / 1e3},
          {"dur", static_cast<double>(end - begin) / 1e3},
          {"args", std::move(arguments)}};
}

// When the last rank entered each collective; collectives are told apart by step, node and device.
using Arrivals = std::map<std::string, int64_t>;

std::string collective_key(const Json& span) {
  return str_cat(span.at("step").get<int64_t>(), "/", span.at("name").get<std::string>());
}

void add_events(int rank, const Json& spans, const Arrivals& arrivals, Json& events) {
  std::map<std::string, int> lanes;
  for (const Json& span : spans) {
    const int lane = lane_of(span, lanes);
    const int64_t begin = span.at("begin"), end = span.at("end");
    const std::string& label = span.at("label").get_ref<const std::string&>();
    const std::string& node = span.at("name").get_ref<const std::string&>();
    const auto it = label.empty() ? arrivals.end() : arrivals.find(collective_key(span));
    if (it == arrivals.end()) {
      events.push_back(event(rank, lane, label.empty() ? node : label, span, begin, end));
      continue;
    }
    const int64_t all_there = std::clamp(it->second, begin, end);
    events.push_back(event(rank, lane, "wait: " + label, span, begin, all_there));
    events.push_back(event(rank, lane, "transfer: " + label, span, all_there, end));
  }
  const auto name_it = [&](const char* what, int lane, const std::string& name) {
    events.push_back(
        {{"name", what}, {"ph", "M"}, {"pid", rank}, {"tid", lane}, {"args", {{"name", name}}}});
  };
  name_it("process_name", 0, str_cat("rank ", rank));
  for (const auto& [name, lane] : lanes) name_it("thread_name", lane, name);
}

std::string trace_of(Json events) {
  return Json{{"displayTimeUnit", "ms"}, {"traceEvents", std::move(events)}}.dump();
}

}  // namespace

void write_timeline(const std::string& directory, const Tracer& tracer,
                    Communicator* communicator) {
  const int rank = communicator == nullptr ? 0 : communicator->rank();
  const int64_t offset = communicator == nullptr ? 0 : clock_offset(*communicator);
  Json spans = Json::array();
  for (const Span& span : tracer.spans()) spans.push_back(to_json(span, offset));
  if (const size_t dropped = tracer.dropped(); dropped > 0) {
    log_info(str_cat("the timeline has the first ", spans.size(), " kernels; ", dropped,
                     " later ones were left out"));
  }
  fs::create_directories(directory);
  Json events = Json::array();
  add_events(rank, spans, {}, events);
  io::write_file_atomically((fs::path(directory) / str_cat("rank-", rank, ".json")).string(),
                            trace_of(std::move(events)));
  if (communicator == nullptr) return;

  std::vector<Json> all;
  Arrivals arrivals;
  for (int source = 0; source < communicator->size(); ++source) {
    std::string text;
    if (source == rank) {
      const auto bytes = Json::to_cbor(spans);
      text.assign(bytes.begin(), bytes.end());
    }
    broadcast_text(*communicator, source, text, kWhat);
    if (rank != 0) continue;
    all.push_back(Json::from_cbor(text));
    for (const Json& span : all.back()) {
      if (span.at("label").get_ref<const std::string&>().empty()) continue;
      int64_t& last = arrivals[collective_key(span)];
      last = std::max(last, span.at("begin").get<int64_t>());
    }
  }
  if (rank != 0) return;
  Json merged = Json::array();
  for (size_t source = 0; source < all.size(); ++source) {
    add_events(static_cast<int>(source), all[source], arrivals, merged);
  }
  io::write_file_atomically((fs::path(directory) / "timeline.json").string(),
                            trace_of(std::move(merged)));
}

}  // namespace trireme
