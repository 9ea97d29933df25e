// trireme convert: a model file of any format from one of any other.
#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "launcher/commands.h"
#include "worker/model_files.h"
#include "worker/model_formats.h"
#include "worker/model_text.h"

namespace trireme {
namespace {

struct Options {
  ModelSource source;
  std::string to, to_format;
  std::vector<std::string> maps, input_shapes;
  bool overwrite = false, print_job = false, quiet = false;
};

// "PATTERN=REPLACEMENT".
nn::WeightMap parse_map(const std::string& text) {
  const size_t equals = text.find('=');
  if (equals == std::string::npos) {
    throw invalid_argument("--map ", text,
                           ": expected PATTERN=REPLACEMENT, such as "
                           "'encoder/(.*)=body/$1'");
  }
  return {text.substr(0, equals), text.substr(equals + 1)};
}

// "28,28,1", "int64:16", "tokens=int64:16"; "" after the colon: a number an example.
formats::ModelInput parse_input(const std::string& text, size_t index) {
  formats::ModelInput input{str_cat("feature_", index), {DType::kFloat32, {}}};
  std::string rest = text;
  if (const size_t equals = rest.find('='); equals != std::string::npos) {
    input.name = rest.substr(0, equals);
    rest = rest.substr(equals + 1);
  }
  if (const size_t colon = rest.find(':'); colon != std::string::npos) {
    input.type.dtype = input_type_of(rest.substr(0, colon));
    rest = rest.substr(colon + 1);
  }
  std::vector<int64_t> dims = {-1};
  for (size_t begin = 0; begin < rest.size();) {
    const size_t comma = std::min(rest.find(',', begin), rest.size());
    const std::string number = rest.substr(begin, comma - begin);
    size_t used = 0;
    int64_t dim = -2;
    try {
      dim = std::stoll(number, &used);
    } catch (const std::exception&) {
      used = 0;
    }
    if (used != number.size() || number.empty() || dim < -1) {
      throw invalid_argument("--input-shape ", text,
                             ": expected [NAME=][TYPE:]SIZES, such as "
                             "28,28,1 or int64:16, found the size '",
                             number, "'");
    }
    dims.push_back(dim);
    begin = comma + 1;
  }
  if (dims.size() > Shape::kMaxRank) {
    throw invalid_argument("--input-shape ", text, ": expected at most ", Shape::kMaxRank - 1,
                           " sizes");
  }
  input.type.shape = Shape(dims);
  return input;
}

int64_t parameters_of(const formats::ModelFile& file) {
  int64_t count = 0;
  for (const auto& [name, value] : file.weights) count += value.elements();
  return count;
}

nlohmann::json names_of(const std::vector<std::string>& names) { return names; }

// For programs: one line.
std::string result_line(const ModelReading& reading, const Options& options,
                        const std::string& format) {
  nlohmann::ordered_json line = {{"from", options.source.path},
                                 {"from_format", reading.format},
                                 {"to", options.to},
                                 {"to_format", format},
                                 {"layers", reading.file.layers.size()},
                                 {"weights", reading.report.loaded.size()},
                                 {"parameters", parameters_of(reading.file)}};
  if (reading.file.training) {
    line["slots"] = reading.file.training->slots.size();
    line["step"] = reading.file.training->step;
  }
  line["missing"] = names_of(reading.report.missing);
  line["left_out"] = names_of(reading.report.left_out);
  line["unused"] = names_of(reading.report.unused);
  std::vector<std::string> other;
  for (const auto& one : reading.report.other_shape) other.push_back(one.name);
  line["other_shape"] = names_of(other);
  line["notes"] = names_of(reading.file.notes);
  return line.dump();
}

// For people.
void report(const ModelReading& reading, const Options& options, const std::string& format) {
  const formats::ModelFile& file = reading.file;
  std::cerr << options.source.path << " (" << reading.format << "): " << file.layers.size()
            << " layers, " << parameters_of(file) << " parameters; " << reading.report.to_string()
            << "\n";
  if (file.training && !file.training->slots.empty()) {
    std::cerr << "the optimizer's state after " << file.training->step
              << " steps: " << file.training->slots.size() << " slots\n";
  }
  for (const std::string& note : file.notes) std::cerr << "note: " << note << "\n";
  if (!options.to.empty()) std::cerr << options.to << " (" << format << "): written\n";
}

void convert(const Options& given, const std::shared_ptr<const JobSchema>& schema) {
  Options options = given;
  for (const std::string& map : options.maps) options.source.map.push_back(parse_map(map));
  for (const std::string& text : options.input_shapes) {
    options.source.inputs.push_back(parse_input(text, options.source.inputs.size()));
  }
  if (options.to.empty() && !options.print_job) {
    throw invalid_argument(
        "convert: expected the file or folder to write, found none; "
        "--print-job prints the model as a job file instead");
  }
  ModelReading reading = read_model(options.source, schema);
  const std::string job = print_job(*schema, reading.file);
  reading.file.job_text = job;
  std::string format;
  if (!options.to.empty()) {
    format = write_model(reading.file, options.to, options.to_format, options.overwrite, schema,
                         reading.file.notes);
  }
  if (!options.quiet) report(reading, options, format);
  if (options.print_job) {
    std::cout << job << std::flush;
  } else {
    std::cout << result_line(reading, options, format) << std::endl;
  }
}

}  // namespace

void add_convert_command(CLI::App& app, CommandContext& context) {
  std::string list;
  for (const formats::Format& format : model_formats(context.tables.schema)) {
    list +=
        str_cat("  ", format.name, std::string(std::max<size_t>(1, 18 - format.name.size()), ' '),
                format.help, format.write ? "" : " (only read)", "\n");
  }
  CLI::App* command =
      app.add_subcommand("convert", "Make a model file of one format from one of another");
  command->footer("Formats:\n" + list +
                  "Examples:\n"
                  "  trireme convert runs/digits_lenet lenet.keras\n"
                  "  trireme convert model.keras runs/from_keras\n"
                  "  trireme convert exported_model/ --print-job\n"
                  "  trireme convert weights.safetensors runs/new --model job.textproto "
                  "--map 'body/(.*)=encoder/$1'\n"
                  "A report is on standard error, a line of JSON on standard output.");
  auto options = std::make_shared<Options>();
  command
      ->add_option("FROM", options->source.path,
                   "A run's folder, a checkpoint, or a file or folder of another format")
      ->required();
  command->add_option("TO", options->to,
                      "What is written; its ending says the format, unless --to does");
  command->add_option("--from", options->source.format, "The format of FROM (else by its contents)")
      ->type_name("FORMAT");
  command->add_option("--to", options->to_format, "The format of TO (else by its ending)")
      ->type_name("FORMAT");
  command
      ->add_option("--model", options->source.model,
                   "A job file with the layers, for files that have weights only")
      ->type_name("JOB");
  command
      ->add_option("--map", options->maps,
                   "How names of the model become those of FROM: a regular expression of a whole "
                   "name, and what it becomes, with $1 for the first parentheses; nothing: the "
                   "weight is not taken. The first that matches counts")
      ->type_name("PATTERN=REPLACEMENT")
      ->allow_extra_args(false);
  command
      ->add_option("--input-shape", options->input_shapes,
                   "The shape of an example, for files that do not say it; once for each feature")
      ->type_name("[NAME=][TYPE:]SIZES")
      ->allow_extra_args(false);
  command->add_flag("--partial", options->source.partial,
                    "Weights that FROM lacks keep the values that a training begins with");
  command->add_flag("--overwrite", options->overwrite, "TO is replaced where it is there");
  command->add_flag("--print-job", options->print_job,
                    "Print the model as a job file on standard output, in place of the line");
  command->add_flag("--quiet", options->quiet, "No report on standard error");
  command->callback([options, schema = context.tables.schema] { convert(*options, schema); });
}

}  // namespace trireme
