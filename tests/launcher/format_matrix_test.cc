// Eight models through each file format, both ways, by `trireme convert`: TensorFlow, Keras, ONNX
// Runtime and others predict what Trireme predicts. docs/formats.md has the table;
// TRIREME_WRITE_FORMATS=1 in the environment writes it anew.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <regex>
#include <sstream>

#include "core/formats/safetensors_format.h"
#include "tests/core/formats/models/model_texts.h"
#include "tests/launcher/program.h"
#include "worker/model_card.h"
#include "worker/trireme_format.h"

namespace trireme {
namespace {

namespace fs = std::filesystem;
using formats::ModelFile;
using nlohmann::json;
using testing::model_names;
using testing::ProcessResult;
using testing::read_text;
using testing::TemporaryDirectory;

constexpr double kClose = 1e-5;
constexpr int kExamples = 4;
constexpr int kSkipped = 77, kNoProgram = 127;
const std::string kPage = TRIREME_SOURCE_DIR "/docs/formats.md";
const std::string kBegin = "<!-- the matrix: written by format_matrix_test -->\n";
const std::string kEnd = "<!-- the end of the matrix -->\n";

std::string python() {
  const char* const named = std::getenv("TRIREME_PEER_PYTHON");
  return named != nullptr ? named : TRIREME_PEER_PYTHON;
}

// A cell: the largest difference, or what failed.
using Row = std::map<std::string, std::string>;
using Table = std::map<std::string, Row>;  // by the model

std::string shown(double difference) {
  if (difference == 0) return "✓ 0";
  std::ostringstream text;
  text.precision(1);
  text << (difference <= kClose ? "✓ " : "differs by ") << std::scientific << difference;
  return text.str();
}

std::string one_line(const std::string& text) {
  std::string line = text.substr(0, text.find('\n'));
  // What is another in each run.
  line = std::regex_replace(line, std::regex("/[^ ]*/(?=[^/ ]+)"), "");
  std::ranges::replace(line, '|', '/');
  return line.size() > 160 ? line.substr(0, 160) + " …" : line;
}

class FormatMatrixTest : public ::testing::Test {
 protected:
  // Our files of each model, with examples and what we predict for them.
  void write_ours() {
    json models = json::array();
    for (const std::string& name : model_names()) {
      fs::create_directories(folder_ / name);
      const ModelFile file = testing::model_file(name);
      const auto model = formats::make_model(file);
      const std::vector<Tensor> features = testing::random_features(name, kExamples);
      json one = {{"name", name}, {"inputs", json::array()}, {"outputs", json::array()}};
      for (const auto& input : file.inputs) one["inputs"].push_back(input.name);
      for (const OutputType& output : output_types(*model)) {
        one["outputs"].push_back(output.name);
      }
      models.push_back(one);
      save_tensors(name + "/examples.safetensors", features, model->predict_all(features));
      format_.write(file, folder_ / (name + "/run"), {});
      for (const auto& [target, format] : kOurs) {
        const ProcessResult result =
            testing::trireme_run({"convert", folder_ / (name + "/run"),
                                  folder_ / (name + "/" + target), "--to", format, "--quiet"});
        if (result.exit_code != 0) failed_[name][format] = one_line(result.err);
      }
    }
    std::ofstream(folder_ / "models.json") << models;
  }

  void save_tensors(const std::string& path, const std::vector<Tensor>& features,
                    const std::vector<Tensor>& outputs) {
    ModelFile tensors;
    for (size_t i = 0; i < features.size(); ++i) {
      tensors.weights["feature_" + std::to_string(i)] = features[i];
    }
    for (size_t i = 0; i < outputs.size(); ++i) {
      tensors.weights["output_" + std::to_string(i)] = outputs[i];
    }
    formats::safetensors_format().write(tensors, folder_ / path, {});
  }

  // One process for all: TensorFlow takes seconds to start.
  int judge() {
    const ProcessResult result = testing::run(
        {python(), TRIREME_SOURCE_DIR "/tests/launcher/format_matrix/judge.py", folder_.path()},
        {"CUDA_VISIBLE_DEVICES=", "TF_CPP_MIN_LOG_LEVEL=3", "PYTHONDONTWRITEBYTECODE=1"});
    output_ = result.err;
    if (result.exit_code == 0) results_ = json::parse(read_text(folder_ / "results.json"));
    return result.exit_code;
  }

  Table ours_to_theirs() const {
    Table table;
    for (const std::string& name : model_names()) {
      for (const auto& [cell, value] : results_["ours"][name].items()) {
        const auto column = std::ranges::find(kColumns, cell, &Column::cell);
        const bool was_written =
            !failed_.contains(name) || !failed_.at(name).contains(column->format);
        table[name][cell] = !was_written        ? failed_.at(name).at(column->format)
                            : value.is_number() ? shown(value.get<double>())
                                                : one_line(value.get<std::string>());
      }
    }
    return table;
  }

  // What the judge's own networks, saved by Keras, predict here.
  Table theirs_to_ours() {
    Table table;
    for (const std::string& name : model_names()) {
      const json& failures = results_["theirs"][name];
      for (const auto& [file, cell] : kTheirs) {
        table[name][cell] = failures.contains("network") ? one_line(failures["network"])
                            : failures.contains(file)    ? one_line(failures[file])
                                                         : predicted_here(name, file);
      }
    }
    return table;
  }

  std::string predicted_here(const std::string& name, const std::string& file) {
    const std::string run = folder_ / (name + "/from_" + file);
    std::vector<std::string> words = {
        "convert", folder_ / (name + "/" + file), run, "--to", "trireme", "--quiet"};
    // Files of weights have no layers: those of the job.
    if (file == "theirs.weights.h5" || file == "theirs.safetensors") {
      words.insert(words.end(), {"--model", testing::model_path(name)});
      for (const auto& input : testing::model_inputs(name)) {
        std::string shape = input.type.dtype == DType::kInt64 ? "int64:" : "";
        for (const int64_t dim : input.type.shape.dims().subspan(1)) {
          shape += (shape.empty() || shape.back() == ':' ? "" : ",") + std::to_string(dim);
        }
        words.insert(words.end(), {"--input-shape", shape});
      }
    }
    const ProcessResult result = testing::trireme_run(words);
    if (result.exit_code != 0) return one_line(result.err);
    try {
      const ModelFile expected =
          formats::safetensors_format().read(folder_ / (name + "/theirs.expected"), {});
      const ModelFile read = format_.read(run, {});
      const std::vector<Tensor> found =
          formats::make_model(read)->predict_all(testing::random_features(name, kExamples));
      double difference = 0;
      for (size_t i = 0; i < found.size(); ++i) {
        const Tensor& wanted = expected.weights.at("output_" + std::to_string(i));
        if (found[i].type() != wanted.type()) return "an output of another type";
        for (int64_t k = 0; k < wanted.elements(); ++k) {
          const double a = found[i].flat<float>()[k], b = wanted.flat<float>()[k];
          if (!std::isfinite(a)) return "an output is not finite";
          difference = std::max(difference, std::abs(a - b));
        }
      }
      return shown(difference);
    } catch (const std::exception& error) {
      return one_line(error.what());
    }
  }

  struct Column {
    std::string cell, format;  // what reads it; the format that it reads
  };
  inline static const std::vector<Column> kColumns = {{"`saved_model.load`", "saved-model"},
                                                      {"TF1 loader", "saved-model"},
                                                      {"TFLite, LiteRT", "saved-model"},
                                                      {"`TFSMLayer`", "saved-model"},
                                                      {"`.keras`", "keras"},
                                                      {"`.weights.h5`", "keras-weights"},
                                                      {"legacy `.h5`", "keras-h5"},
                                                      {"ONNX Runtime", "onnx"},
                                                      {"safetensors", "safetensors"}};
  inline static const std::vector<std::pair<std::string, std::string>> kOurs = {
      {"ours_saved_model", "saved-model"},
      {"ours.keras", "keras"},
      {"ours.weights.h5", "keras-weights"},
      {"ours.h5", "keras-h5"},
      {"ours.onnx", "onnx"},
      {"ours.safetensors", "safetensors"}};
  inline static const std::vector<std::pair<std::string, std::string>> kTheirs = {
      {"theirs_saved_model", "SavedModel"},
      {"theirs.keras", "`.keras`"},
      {"theirs.weights.h5", "`.weights.h5`"},
      {"theirs.h5", "legacy `.h5`"},
      {"theirs.safetensors", "safetensors"}};

  TemporaryDirectory folder_;
  formats::Format format_ = trireme_format(core_job_schema());
  std::map<std::string, Row> failed_;  // of a model: a format that was not written, and why
  json results_;
  std::string output_;
};

// Sentences that cells refer to, each once.
class Footnotes {
 public:
  std::string cell(const std::string& text) {
    if (text.starts_with("✓")) return text;
    const auto found = std::ranges::find(all_, text);
    const auto number = found - all_.begin() + 1;
    if (found == all_.end()) all_.push_back(text);
    return "✗ (" + std::to_string(number) + ")";
  }
  std::string text() const {
    std::string text;
    for (size_t i = 0; i < all_.size(); ++i) {
      text += "(" + std::to_string(i + 1) + ") " + all_[i] + "\n\n";
    }
    return text;
  }

 private:
  std::vector<std::string> all_;
};

std::string text_of(const Table& table, const std::vector<std::string>& columns,
                    Footnotes& footnotes) {
  std::string text = "| model |", line = "|---|";
  for (const std::string& column : columns) {
    text += " " + column + " |";
    line += "---|";
  }
  text += "\n" + line + "\n";
  for (const std::string& name : model_names()) {
    text += "| " + name + " |";
    for (const std::string& column : columns) {
      text += " " + footnotes.cell(table.at(name).at(column)) + " |";
    }
    text += "\n";
  }
  return text;
}

// Differences are another machine's in their last digits.
std::string without_numbers(const std::string& text) {
  return std::regex_replace(text, std::regex("[0-9.]+e-?[0-9]+|✓ 0"), "✓");
}

TEST_F(FormatMatrixTest, EveryCellIsAsThePageHasIt) {
  write_ours();
  const int code = judge();
  if (code == kSkipped || code == kNoProgram) {
    GTEST_SKIP() << python() << ": " << output_ << "scripts/peer_environment makes a Python that "
                 << "has them; name it in TRIREME_PEER_PYTHON";
  }
  ASSERT_EQ(code, 0) << output_;
  std::vector<std::string> columns, back;
  for (const Column& column : kColumns) columns.push_back(column.cell);
  for (const auto& [file, cell] : kTheirs) back.push_back(cell);
  Footnotes notes;
  std::string matrix =
      "What Trireme wrote, read by others:\n\n" + text_of(ours_to_theirs(), columns, notes) +
      "\nWhat Keras wrote, read by Trireme:\n\n" + text_of(theirs_to_ours(), back, notes) + "\n";
  matrix += notes.text();
  std::string page = read_text(kPage);
  const size_t begin = page.find(kBegin), end = page.find(kEnd);
  ASSERT_TRUE(begin != std::string::npos && end != std::string::npos) << kPage;
  const size_t from = begin + kBegin.size();
  if (std::getenv("TRIREME_WRITE_FORMATS") != nullptr) {
    page.replace(from, end - from, matrix);
    std::ofstream(kPage) << page;
    return;
  }
  EXPECT_EQ(without_numbers(matrix), without_numbers(page.substr(from, end - from)))
      << "TRIREME_WRITE_FORMATS=1 in the environment of this test writes the table anew";
}

}  // namespace
}  // namespace trireme
