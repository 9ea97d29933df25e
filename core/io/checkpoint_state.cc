#include "core/io/checkpoint_state.h"

#include <google/protobuf/io/tokenizer.h>
#include <google/protobuf/text_format.h>

#include "core/base/error.h"
#include "core/io/input_file.h"
#include "proto/tf/checkpoint_state.pb.h"

namespace trireme::io {
namespace {

constexpr uint64_t kMaxStateBytes = 16 << 20;

// Keeps the first error instead of printing it.
class FirstError : public google::protobuf::io::ErrorCollector {
 public:
  void AddError(int line, int column, const std::string& message) override {
    if (text_.empty()) text_ = str_cat(line + 1, ":", column + 1, ": ", message);
  }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

}  // namespace

CheckpointState parse_checkpoint_state(const std::string& path, const std::string& text) {
  tf::CheckpointState proto;
  FirstError error;
  google::protobuf::TextFormat::Parser parser;
  parser.RecordErrorsTo(&error);
  if (!parser.ParseFromString(text, &proto)) {
    throw invalid_argument(path, ":", error.text(), "; expected a checkpoint state file");
  }
  CheckpointState state;
  state.latest = proto.model_checkpoint_path();
  state.all.assign(proto.all_model_checkpoint_paths().begin(),
                   proto.all_model_checkpoint_paths().end());
  return state;
}

std::string format_checkpoint_state(const CheckpointState& state) {
  tf::CheckpointState proto;
  proto.set_model_checkpoint_path(state.latest);
  for (const std::string& path : state.all) proto.add_all_model_checkpoint_paths(path);
  std::string text;
  const bool printed = google::protobuf::TextFormat::PrintToString(proto, &text);
  TRIREME_CHECK(printed);
  return text;
}

std::optional<CheckpointState> read_checkpoint_state(const std::string& path) {
  std::string text;
  try {
    text = read_file(path, kMaxStateBytes);
  } catch (const Error& error) {
    if (error.code() == ErrorCode::kNotFound) return std::nullopt;
    throw;
  }
  return parse_checkpoint_state(path, text);
}

}  // namespace trireme::io
