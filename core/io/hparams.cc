#include "core/io/hparams.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <set>

#include "core/io/event_file.h"
#include "core/io/event_reader.h"
#include "proto/tf/event.pb.h"
#include "proto/tf/hparams.pb.h"

namespace trireme::io {
namespace {

namespace pb = tf::hparams;

constexpr size_t kFewValues = 10;  // that are listed rather than shown as an interval

double now_seconds() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

google::protobuf::Value to_message(const HParamValue& value) {
  google::protobuf::Value message;
  if (const bool* flag = std::get_if<bool>(&value)) message.set_bool_value(*flag);
  if (const double* number = std::get_if<double>(&value)) message.set_number_value(*number);
  if (const std::string* text = std::get_if<std::string>(&value)) message.set_string_value(*text);
  return message;
}

pb::DataType type_of(const HParam& hparam) {
  if (hparam.interval) return pb::DATA_TYPE_FLOAT64;
  const auto all = [&](size_t index) {
    return !hparam.values.empty() && std::ranges::all_of(hparam.values, [&](const HParamValue& v) {
      return v.index() == index;
    });
  };
  return all(0) ? pb::DATA_TYPE_BOOL : all(1) ? pb::DATA_TYPE_FLOAT64 : pb::DATA_TYPE_STRING;
}

// A value without data, of a tag whose metadata hold all.
std::string record(const char* tag, const pb::HParamsPluginData& data) {
  tf::Event event;
  tf::Summary::Value& value = *event.mutable_summary()->add_value();
  value.set_tag(tag);
  value.mutable_metadata()->mutable_plugin_data()->set_plugin_name("hparams");
  value.mutable_metadata()->mutable_plugin_data()->set_content(data.SerializeAsString());
  value.mutable_metadata()->set_data_class(tf::DATA_CLASS_TENSOR);
  value.mutable_tensor()->set_dtype(tf::DT_FLOAT);
  value.mutable_tensor()->mutable_tensor_shape()->add_dim()->set_size(0);
  return event.SerializeAsString();
}

// Writes the file that replaces those of its kind. TensorBoard believes the first that it finds.
template <typename Write>
void replace_file(const std::string& folder, const std::string& suffix, const Write& write) {
  std::vector<std::string> earlier = event_files(folder);
  std::erase_if(earlier, [&](const std::string& path) { return !path.ends_with(suffix); });
  EventWriter writer(folder, {.suffix = suffix});
  write(writer);
  writer.close();
  if (const auto error = writer.error()) throw Error(*error);
  for (const std::string& path : earlier) ::unlink(path.c_str());
}

}  // namespace

std::vector<HParam> unite(std::span<const HParamValues> trials) {
  std::map<std::string, std::set<HParamValue>> all;
  for (const HParamValues& trial : trials) {
    for (const auto& [name, value] : trial) {
      if (const double* number = std::get_if<double>(&value); number && std::isnan(*number)) {
        all[name];
      } else {
        all[name].insert(value);
      }
    }
  }
  std::vector<HParam> united;
  for (const auto& [name, values] : all) {
    HParam hparam{.name = name};
    const bool is_number = std::ranges::all_of(
        values, [](const HParamValue& v) { return std::holds_alternative<double>(v); });
    if (is_number && values.size() > kFewValues) {
      hparam.interval = {std::get<double>(*values.begin()), std::get<double>(*values.rbegin())};
    } else {
      hparam.values.assign(values.begin(), values.end());
    }
    united.push_back(std::move(hparam));
  }
  return united;
}

void write_experiment(const std::string& folder, std::span<const HParam> hparams,
                      std::span<const HParamMetric> metrics, const std::string& description) {
  pb::HParamsPluginData data;
  pb::Experiment& experiment = *data.mutable_experiment();
  experiment.set_description(description);
  experiment.set_time_created_secs(now_seconds());
  for (const HParam& hparam : hparams) {
    pb::HParamInfo& info = *experiment.add_hparam_infos();
    info.set_name(hparam.name);
    info.set_description(hparam.description);
    info.set_type(type_of(hparam));
    if (hparam.interval) {
      info.mutable_domain_interval()->set_min_value(hparam.interval->first);
      info.mutable_domain_interval()->set_max_value(hparam.interval->second);
    } else {
      for (const HParamValue& value : hparam.values) {
        *info.mutable_domain_discrete()->add_values() = to_message(value);
      }
    }
  }
  for (const HParamMetric& metric : metrics) {
    pb::MetricInfo& info = *experiment.add_metric_infos();
    info.mutable_name()->set_tag(metric.tag);
    info.mutable_name()->set_group(metric.run);
    info.set_display_name(metric.display_name);
    if (metric.run == "validation") info.set_dataset_type(pb::DATASET_VALIDATION);
    if (metric.run == "train") info.set_dataset_type(pb::DATASET_TRAINING);
  }
  replace_file(folder, ".experiment.v2",
               [&](EventWriter& writer) { writer.add(0, record("_hparams_/experiment", data)); });
}

std::string session_start_record(const HParamValues& values, const std::string& group,
                                 double start_seconds) {
  pb::HParamsPluginData data;
  pb::SessionStartInfo& info = *data.mutable_session_start_info();
  for (const auto& [name, value] : values) (*info.mutable_hparams())[name] = to_message(value);
  info.set_group_name(group);
  info.set_start_time_secs(start_seconds);
  return record("_hparams_/session_start_info", data);
}

std::string session_end_record(SessionStatus status, double end_seconds) {
  pb::HParamsPluginData data;
  pb::SessionEndInfo& info = *data.mutable_session_end_info();
  info.set_status(static_cast<pb::Status>(status));
  static_assert(static_cast<int>(SessionStatus::kRunning) == pb::STATUS_RUNNING);
  info.set_end_time_secs(end_seconds);
  return record("_hparams_/session_end_info", data);
}

void write_session(const std::string& folder, const HParamSession& session) {
  const auto or_now = [](double seconds) { return seconds == 0 ? now_seconds() : seconds; };
  replace_file(folder, ".session.v2", [&](EventWriter& writer) {
    writer.add(0,
               session_start_record(session.values, session.group, or_now(session.start_seconds)));
    for (const auto& [tag, value] : session.metrics) writer.scalar(tag, session.step, value);
    if (session.status != SessionStatus::kRunning) {
      writer.add(0, session_end_record(session.status, or_now(session.end_seconds)));
    }
  });
}

}  // namespace trireme::io
