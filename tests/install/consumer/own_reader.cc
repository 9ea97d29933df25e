// A data source: points, a text file of lines "x y label".
#include <fstream>
#include <sstream>

#include "core/base/error.h"
#include "core/data/source.h"
#include "own_parts.h"

namespace own {
namespace {

using namespace trireme;

class Points : public data::Source {
 public:
  void describe(OptionVisitor& v) override {
    v.field({.name = "file", .help = "lines of two numbers and a label"}, file_);
    v.field({.name = "validation_fraction",
             .help = "the last lines of the file, which are not trained on",
             .range = from_below(0, 1)},
            validation_fraction_);
  }
  void check() const override {
    if (file_.empty()) throw invalid_argument("points: expected a file");
  }

  data::SourceData build(const data::SourceContext& context) const override {
    const std::string path = context.find(file_);
    std::ifstream in(path);
    std::vector<float> features, labels;
    int64_t number = 0;
    for (std::string line; std::getline(in, line);) {
      ++number;
      float x = 0, y = 0, label = 0;
      if (!(std::istringstream(line) >> x >> y >> label)) {
        throw invalid_argument(path, ":", number, ": expected two numbers and a label");
      }
      features.insert(features.end(), {x, y});
      labels.push_back(label);
    }
    const auto rows = static_cast<int64_t>(labels.size());
    const int64_t last =
        held_back_rows(validation_fraction_, rows, "data.points.validation_fraction");
    const data::Dataset all =
        data::from_columns({{"point", Tensor::from<float>({rows, 2}, features)},
                            {"label", Tensor::from<float>({rows}, labels)}});
    return {.train = all.take(rows - last),
            .validation = all.skip(rows - last),
            .description = str_cat("points: ", rows - last, " + ", last, " lines of ", path)};
  }
  std::vector<data::SourceFile> files(const data::SourceContext& context) const override {
    return {{"data.points.file", context.find(file_)}};
  }

 private:
  std::string file_;
  double validation_fraction_ = 0.2;
};

}  // namespace

void add_points(Catalog<data::Source>& sources) {
  sources.add<Points>("points", "", "A text file of lines of two numbers and a label.");
}

}  // namespace own
