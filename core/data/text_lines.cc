#include "core/data/text_lines.h"

#include <cstring>

#include "core/base/error.h"
#include "core/data/line_reader.h"
#include "core/io/growing_buffer.h"

namespace trireme::data {
namespace {

class LineExamples final : public IndexedExamples {
 public:
  explicit LineExamples(const std::vector<std::string>& paths) : lines_(paths) {}
  ElementSpec spec() const override { return {{"line", DType::kString, {}}}; }
  int64_t size() const override { return lines_.size(); }
  void read(int64_t index, std::span<const RowView> out) const override {
    out[0].as<std::string>()[0] = lines_.at(index);
  }

 private:
  TextLines lines_;
};

}  // namespace

TextLines::TextLines(const std::vector<std::string>& paths) : paths_(paths) {
  io::GrowingBuffer text(paths.empty() ? "text" : paths[0]);
  for (uint32_t file = 0; file < paths.size(); ++file) {
    LineReader reader(paths[file]);
    for (std::string_view line; reader.next(line);) {
      if (line.empty()) continue;
      lines_.push_back({text.size(), static_cast<uint32_t>(line.size()), file, reader.number()});
      std::memcpy(text.add(line.size()).data(), line.data(), line.size());
    }
  }
  const std::shared_ptr<Buffer> buffer = text.take();
  text_ = static_cast<const char*>(buffer->data());
  owner_ = buffer;
}

std::string_view TextLines::at(int64_t index) const {
  const Line& line = lines_[static_cast<size_t>(index)];
  return {text_ + line.begin, line.length};
}

std::string TextLines::place(int64_t index) const {
  const Line& line = lines_[static_cast<size_t>(index)];
  return str_cat(paths_[line.file], ':', line.number);
}

Dataset text_lines(const std::vector<std::string>& paths) {
  return from_examples(std::make_shared<LineExamples>(paths));
}

}  // namespace trireme::data
