#include <CLI/CLI.hpp>
#include <cstdint>
#include <iostream>
#include <memory>

#include "core/base/input_stream.h"
#include "core/data/record_inspector.h"
#include "core/formats/saved_model/saved_model_reader.h"
#include "core/graph/print.h"
#include "core/graph/serialize.h"
#include "core/io/event_inspector.h"
#include "core/io/inspect.h"
#include "launcher/commands.h"
#include "ps/server/inspect_snapshot.h"
#include "worker/inspect_model.h"

namespace trireme {
namespace {

constexpr char kGraphSuffix[] = ".graph";

// A graph that `trireme train --save-graph` wrote.
io::Inspector graph_inspector(bool dot, const std::shared_ptr<const OpTable>& ops) {
  return {"a graph (*.graph, from trireme train --save-graph)",
          [](const std::string& path) { return path.ends_with(kGraphSuffix); },
          [dot, ops](const std::string& path) {
            // A message of protobuf has at most 2 GiB.
            const std::string bytes = read_whole(path, INT32_MAX, "a graph");
            const auto graph = parse_graph(bytes, ops, path);
            return dot ? to_dot(*graph) : to_text(*graph);
          }};
}

}  // namespace

void add_inspect_command(CLI::App& app, CommandContext& context) {
  struct Options {
    std::string path;
    bool dot = false;
    std::string tag;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand(
      "inspect",
      "Print a checkpoint, a model of any format, rows of parameter servers, a graph, a file of "
      "records or an event file of TensorBoard as text");
  command->footer(
      "Examples:\n  trireme inspect runs/digits_lenet/checkpoints\n"
      "  trireme inspect runs/criteo_dlrm/checkpoints/rows/ckpt-977.ps\n"
      "  trireme inspect runs/digits_lenet/tensorboard/train --tag epoch_loss");
  command
      ->add_option("PATH", options->path,
                   "A checkpoint (prefix, .index file or folder), a .ps file, a .graph file, a "
                   "TFRecord file, an event file or a folder of them, or a model of another format "
                   "(SavedModel, .keras, .h5, .onnx, .safetensors, a folder of trireme export)")
      ->required();
  command->add_flag("--dot", options->dot, "A graph in Graphviz's language");
  command->add_option("--tag", options->tag, "Of event files: the values of this tag as CSV");
  command->callback([options, ops = context.tables.ops, schema = context.tables.schema] {
    if (!options->tag.empty()) return io::print_tag(options->path, options->tag, std::cout);
    auto inspectors = io::checkpoint_inspectors();
    // Before what reads it as a network: its signatures, whatever ops they need.
    const io::Inspector saved_model{"a SavedModel (a folder with saved_model.pb)",
                                    formats::is_saved_model, formats::describe_saved_model};
    inspectors.insert(inspectors.begin(),
                      {graph_inspector(options->dot, ops), ps::snapshot_inspector(), saved_model,
                       model_inspector(schema)});
    inspectors.push_back(io::event_inspector());
    inspectors.push_back(data::record_inspector());
    std::cout << io::inspect(options->path, inspectors);
  });
}

}  // namespace trireme
