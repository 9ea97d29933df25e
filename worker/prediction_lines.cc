#include "worker/prediction_lines.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "core/base/error.h"
#include "core/nn/model.h"
#include "core/nn/output_range.h"
#include "worker/result_line.h"

namespace trireme {
namespace {

// Six digits of what the model can tell apart, also where the numbers are far from 0: of times in
// seconds since 1970 that differ by hours, all ten.
std::string number_text(double value, double deviation) {
  const double ratio = std::abs(value) / deviation;
  const int more = ratio > 1 && std::isfinite(ratio) ? static_cast<int>(std::log10(ratio)) + 1 : 0;
  std::ostringstream text;
  text << std::setprecision(std::min(17, 6 + more)) << value;
  return text.str();
}

std::vector<double> softmax(const std::vector<double>& logits) {
  const double most = *std::ranges::max_element(logits);
  std::vector<double> shares;
  double sum = 0;
  for (const double logit : logits) sum += shares.emplace_back(std::exp(logit - most));
  for (double& share : shares) share /= sum;
  return shares;
}

std::string quoted(const std::string& text) {
  std::string result = "\"";
  for (const char c : text) result += c == '"' ? std::string("\"\"") : std::string(1, c);
  return result + "\"";
}

// Bytes that are no UTF-8 have no place in JSON.
std::string dumped(const ResultLine& line) {
  return line.dump(-1, ' ', false, ResultLine::error_handler_t::replace);
}

}  // namespace

struct PredictionLines::Prediction {
  std::vector<double> values, probabilities;
  std::optional<int64_t> chosen;
  std::string name;
};

PredictionLines::PredictionLines(const nn::Model& model,
                                 const data::PreprocessingPtr& preprocessing,
                                 PredictionFormat format, bool allows_nan)
    : format_(format), allows_nan_(allows_nan), meaning_(data::output_meaning(preprocessing)) {
  const nn::Loss& loss = model.compiled().loss;
  // Of sequences each step has classes of its own: the numbers are given as they are.
  is_classifier_ =
      model.inference().predictions.shape().rank() == 2 &&
      (loss.labels == nn::LabelDomain::kClass || loss.labels == nn::LabelDomain::kDistribution);
  is_binary_ =
      loss.labels == nn::LabelDomain::kUnitInterval || loss.labels == nn::LabelDomain::kZeroOrOne;
  are_probabilities_ = nn::gives_probabilities(loss, model.inference().predictions);
}

PredictionLines::Prediction PredictionLines::of_row(const Tensor& predictions, int64_t row,
                                                    int64_t width) const {
  Prediction made;
  for (int64_t i = 0; i < width; ++i) {
    const double value = predictions.as_double(row * width + i);
    made.values.push_back(meaning_.scales_label ? meaning_.label.undo(value) : value);
  }
  if (is_classifier_ && width > 0) {
    made.probabilities = are_probabilities_ ? made.values : softmax(made.values);
    made.chosen = std::ranges::max_element(made.values) - made.values.begin();
  } else if (is_binary_) {
    for (const double value : made.values) {
      made.probabilities.push_back(are_probabilities_ ? value : 1 / (1 + std::exp(-value)));
    }
    if (width == 1) made.chosen = made.probabilities[0] > 0.5 ? 1 : 0;
  }
  const auto named = static_cast<size_t>(made.chosen.value_or(0));
  if (made.chosen && named < meaning_.classes.size()) made.name = meaning_.classes[named];
  return made;
}

std::string PredictionLines::header(int64_t outputs, bool has_lines) const {
  if (format_ != PredictionFormat::kCsv) return "";
  std::string text = has_lines ? "index,line" : "index";
  for (int64_t i = 0; i < outputs; ++i) text += str_cat(",prediction_", i);
  if (is_classifier_ || is_binary_) {
    for (int64_t i = 0; i < outputs; ++i) text += str_cat(",probability_", i);
    text += ",class";
    if (!meaning_.classes.empty()) text += ",class_name";
  }
  return text + "\n";
}

std::string PredictionLines::lines(const Tensor& predictions, const data::ExampleBatch& batch,
                                   int64_t first) const {
  const int64_t width = batch.size == 0 ? 0 : predictions.elements() / batch.size;
  std::string text;
  for (int64_t row = 0; row < batch.size; ++row) {
    const auto at = static_cast<size_t>(row);
    const std::string missing = batch.missing.empty() ? "" : batch.missing[at];
    const Prediction made = missing.empty() ? of_row(predictions, row, width) : Prediction{};
    if (!allows_nan_ &&
        !std::ranges::all_of(made.values, [](double value) { return std::isfinite(value); })) {
      throw failed(
          "predict: example ", first + row,
          batch.lines.empty() ? "" : str_cat(" (line ", batch.lines[at], ")"),
          ": a prediction is not finite: the example or the weights of the checkpoint hold "
          "numbers that are not finite or very large");
    }
    const double unit = meaning_.scales_label ? meaning_.label.deviation : 0;
    const auto shown = [&](double value) {
      return unit > 0 ? number_text(value, unit) : str_cat(rounded(value));
    };
    if (format_ == PredictionFormat::kCsv) {
      text += std::to_string(first + row);
      if (!batch.lines.empty()) text += str_cat(",", batch.lines[at]);
      const size_t columns = static_cast<size_t>(width);
      for (size_t i = 0; i < columns; ++i) {
        text += "," + (missing.empty() ? shown(made.values[i]) : "");
      }
      if (is_classifier_ || is_binary_) {
        for (size_t i = 0; i < columns; ++i) {
          text += "," + (missing.empty() ? str_cat(rounded(made.probabilities[i])) : "");
        }
        text += "," + (made.chosen ? std::to_string(*made.chosen) : "");
        if (!meaning_.classes.empty()) text += "," + (made.chosen ? quoted(made.name) : "");
      }
      text += "\n";
      continue;
    }
    ResultLine line = {{"index", first + row}};
    if (!batch.lines.empty()) line["line"] = batch.lines[at];
    if (!missing.empty()) {
      line["prediction"] = nullptr;
      line["missing"] = missing;
    } else {
      line["prediction"] = ResultLine::array();
      for (const double value : made.values) {
        line["prediction"].push_back(std::strtod(shown(value).c_str(), nullptr));
      }
      for (const double value : made.probabilities) {
        line["probabilities"].push_back(rounded(value));
      }
      if (made.chosen) line["class"] = *made.chosen;
      if (!made.name.empty()) line["class_name"] = made.name;
    }
    text += dumped(line) + "\n";
  }
  return text;
}

}  // namespace trireme
