#include "core/formats/saved_model/saved_model_file.h"

#include <sys/stat.h>

#include <algorithm>
#include <set>

#include "core/base/error.h"
#include "core/base/suggest.h"
#include "core/io/bounded_proto.h"
#include "core/io/input_file.h"
#include "proto/tf/trackable_object_graph.pb.h"

namespace trireme::formats {
namespace {

constexpr std::string_view kObjectGraph = "_CHECKPOINTABLE_OBJECT_GRAPH";
constexpr std::string_view kDefaultSignature = "serving_default";
constexpr std::string_view kServe = "serve";
// Texts of at most this size are taken from assets.extra: a job file has a few kilobytes.
constexpr uint64_t kMostJobBytes = 1 << 20;

std::string graph_path(const std::string& path) { return path + "/saved_model.pb"; }
std::string bundle_prefix(const std::string& path) { return path + "/variables/variables"; }

bool is_file(const std::string& path) {
  struct stat status;
  return stat(path.c_str(), &status) == 0 && S_ISREG(status.st_mode);
}

// A type that a file names. Of a shape of more dimensions than there may be: nothing.
std::optional<Shape> shape_of(const tf::TensorShapeProto& proto) {
  if (proto.unknown_rank() || proto.dim_size() > Shape::kMaxRank) return std::nullopt;
  Shape shape;
  for (const auto& dim : proto.dim()) shape.push_back(dim.size() < 0 ? -1 : dim.size());
  return shape;
}

SignatureValue value_of(const std::string& name, const tf::TensorInfo& info) {
  return {name, info.name(), dtype_of_tensorflow(info.dtype()), tensorflow_dtype_name(info.dtype()),
          shape_of(info.tensor_shape())};
}

std::vector<SignatureValue> values_of(
    const google::protobuf::Map<std::string, tf::TensorInfo>& infos) {
  std::vector<SignatureValue> values;
  for (const auto& [name, info] : infos) values.push_back(value_of(name, info));
  std::ranges::sort(values, {}, &SignatureValue::name);
  return values;
}

// "dense/kernel:0" as "dense/kernel".
std::string without_output(const std::string& name) {
  const size_t colon = name.rfind(':');
  return colon == std::string::npos ? name : name.substr(0, colon);
}

// Keras lists what is trained, without layers that are not trainable; nothing: there is no such
// list.
std::optional<std::set<int>> trainable_nodes(const tf::SavedObjectGraph& objects) {
  if (objects.nodes_size() == 0) return std::nullopt;
  for (const auto& child : objects.nodes(0).children()) {
    if (child.local_name() != "trainable_variables" || child.node_id() < 0 ||
        child.node_id() >= objects.nodes_size()) {
      continue;
    }
    std::set<int> nodes;
    for (const auto& variable : objects.nodes(child.node_id()).children()) {
      nodes.insert(variable.node_id());
    }
    return nodes;
  }
  return std::nullopt;
}

std::string to_text(const SignatureValue& value) {
  return str_cat(value.name, " ",
                 value.dtype ? std::string(trireme::name(*value.dtype)) : value.dtype_name,
                 value.shape ? value.shape->to_string() : "[any rank]");
}

}  // namespace

std::optional<DType> dtype_of_tensorflow(int number) {
  switch (number) {
    case tf::DT_FLOAT:
      return DType::kFloat32;
    case tf::DT_DOUBLE:
      return DType::kFloat64;
    case tf::DT_HALF:
      return DType::kFloat16;
    case tf::DT_BFLOAT16:
      return DType::kBFloat16;
    case tf::DT_INT32:
      return DType::kInt32;
    case tf::DT_INT64:
      return DType::kInt64;
    case tf::DT_UINT8:
      return DType::kUInt8;
    case tf::DT_BOOL:
      return DType::kBool;
    case tf::DT_STRING:
      return DType::kString;
    default:
      return std::nullopt;
  }
}

std::string tensorflow_dtype_name(int number) {
  if (tf::DataType_IsValid(number)) return tf::DataType_Name(static_cast<tf::DataType>(number));
  return str_cat("type ", number);
}

std::shared_ptr<const SavedModelFile> SavedModelFile::open(const std::string& path) {
  return std::shared_ptr<const SavedModelFile>(new SavedModelFile(path));
}

SavedModelFile::SavedModelFile(const std::string& path) : path_(path) {
  const std::string file = graph_path(path);
  if (!is_file(file)) {
    throw not_found(path,
                    ": expected the folder of a SavedModel, found none with a saved_model.pb");
  }
  tf::SavedModel model;
  io::read_proto(file, model);
  choose_graph(model, file);
  read_signatures();
  const std::string prefix = bundle_prefix(path);
  if (is_file(io::index_path(prefix))) bundle_ = std::make_unique<io::BundleReader>(prefix);
  if (graph_.has_object_graph_def() && bundle_ && bundle_->contains(kObjectGraph)) read_objects();
  read_trainable_collection();
  read_named_variables();
}

void SavedModelFile::choose_graph(tf::SavedModel& model, const std::string& file) {
  std::string found;
  for (tf::MetaGraphDef& graph : *model.mutable_meta_graphs()) {
    std::string tags;
    for (const std::string& tag : graph.meta_info_def().tags()) {
      tags += (tags.empty() ? "" : ",") + tag;
    }
    if (tags == kServe || model.meta_graphs_size() == 1) {
      graph_.Swap(&graph);
      return;
    }
    found += str_cat(found.empty() ? "" : ", ", "{", printable(tags), "}");
  }
  throw data_loss(file, ": expected a graph with the tag \"serve\", found ",
                  found.empty() ? "none" : found);
}

void SavedModelFile::read_signatures() {
  for (const auto& [name, proto] : graph_.signature_def()) {
    if (name.starts_with("__saved_model_")) continue;
    signatures_.push_back({name, values_of(proto.inputs()), values_of(proto.outputs())});
  }
  std::ranges::sort(signatures_, {}, &Signature::name);
}

const Signature& SavedModelFile::signature(std::string_view name) const {
  const std::string_view wanted = name.empty() ? kDefaultSignature : name;
  const auto found = std::ranges::find(signatures_, wanted, &Signature::name);
  if (found != signatures_.end()) return *found;
  if (name.empty() && signatures_.size() == 1) return signatures_.front();
  std::vector<std::string> known;
  std::string list;
  for (const Signature& signature : signatures_) {
    known.push_back(signature.name);
    list += (list.empty() ? "\"" : ", \"") + printable(signature.name) + "\"";
  }
  if (known.empty()) {
    throw invalid_argument(path_,
                           ": it has no signature, so nothing says what a model of it would "
                           "compute; save it with `signatures=`");
  }
  throw invalid_argument(path_, ": expected the signature \"", printable(wanted), "\", found ",
                         list, did_you_mean(wanted, known));
}

size_t SavedModelFile::add_variable(std::string name, const std::string& key, bool is_trainable) {
  if (const auto found = by_key_.find(key); !key.empty() && found != by_key_.end()) {
    return found->second;
  }
  name = without_output(name);
  if (name.empty()) name = "variable";
  // Names of TensorFlow 2 need not differ.
  std::string unique = name;
  for (int& suffix = names_taken_[name]; names_taken_.contains(unique) && suffix > 0; ++suffix) {
    unique = str_cat(name, "_", suffix);
  }
  if (unique != name) names_taken_[unique] = 1;
  names_taken_[name] = std::max(names_taken_[name], 1);
  SavedVariable variable{
      .name = unique, .key = "", .type = {}, .unknown_dtype = {}, .is_trainable = is_trainable};
  if (bundle_ && bundle_->contains(key)) {
    const io::StoredTensor& stored = bundle_->stored(key);
    variable.key = key;
    if (stored.dtype) {
      variable.type = {*stored.dtype, stored.shape};
    } else {
      variable.unknown_dtype = stored.dtype_name;
    }
    by_key_.emplace(key, variables_.size());
  }
  variables_.push_back(std::move(variable));
  return variables_.size() - 1;
}

void SavedModelFile::read_objects() {
  const Tensor text = bundle_->read(kObjectGraph);
  const std::string place = str_cat(io::index_path(bundle_->prefix()), ": ", kObjectGraph);
  if (text.dtype() != DType::kString || text.elements() != 1) {
    throw data_loss(place, ": expected one string, found ", text.type());
  }
  tf::TrackableObjectGraph objects;
  io::parse_proto(text.flat<std::string>()[0], place, objects);
  const tf::SavedObjectGraph& saved = graph_.object_graph_def();
  const std::optional<std::set<int>> trained = trainable_nodes(saved);
  // Nodes of the same number are the same object in both graphs.
  std::vector<Capture> captures(static_cast<size_t>(saved.nodes_size()));
  for (int i = 0; i < saved.nodes_size(); ++i) {
    const tf::SavedObject& object = saved.nodes(i);
    Capture& capture = captures[static_cast<size_t>(i)];
    switch (object.kind_case()) {
      case tf::SavedObject::kVariable: {
        std::string key;
        if (i < objects.nodes_size()) {
          for (const auto& attribute : objects.nodes(i).attributes()) {
            if (attribute.name() == "VARIABLE_VALUE") key = attribute.checkpoint_key();
          }
        }
        const tf::SavedVariable& variable = object.variable();
        capture.variable = add_variable(variable.name(), key,
                                        variable.trainable() && (!trained || trained->contains(i)));
        break;
      }
      case tf::SavedObject::kConstant:
        capture.constant = object.constant().operation();
        break;
      case tf::SavedObject::kResource:
        capture.what = "a resource that is no variable, such as a lookup table";
        break;
      case tf::SavedObject::kAsset:
        capture.what = "an asset file";
        break;
      default:
        capture.what = "an object that is no variable";
    }
  }
  for (const auto& [function, saved_function] : saved.concrete_functions()) {
    std::vector<Capture>& bound = captures_[function];
    for (const int32_t node : saved_function.bound_inputs()) {
      if (node < 0 || node >= saved.nodes_size()) {
        throw data_loss(graph_path(path_), ": function \"", printable(function),
                        "\": expected captured objects below ", saved.nodes_size(), ", found ",
                        node);
      }
      bound.push_back(captures[static_cast<size_t>(node)]);
    }
  }
  for (const auto& node : objects.nodes()) {
    for (const auto& attribute : node.attributes()) {
      const auto found = by_key_.find(attribute.checkpoint_key());
      if (found != by_key_.end()) by_full_name_.emplace(attribute.full_name(), found->second);
    }
  }
}

// TensorFlow 1 lists the trainable variables as messages whose first field is the name.
void SavedModelFile::read_trainable_collection() {
  const auto found = graph_.collection_def().find("trainable_variables");
  if (found == graph_.collection_def().end()) return;
  has_trainable_collection_ = true;
  for (const std::string& bytes : found->second.bytes_list().value()) {
    if (bytes.size() < 2 || bytes[0] != '\n') continue;
    const size_t length = static_cast<unsigned char>(bytes[1]);
    // Of a longer name the length has a second byte.
    const bool is_long = length >= 0x80 && bytes.size() > 2;
    const size_t size = is_long ? (length & 0x7f) + (static_cast<size_t>(bytes[2]) << 7) : length;
    trainable_names_.push_back(without_output(bytes.substr(is_long ? 3 : 2, size)));
  }
  std::ranges::sort(trainable_names_);
}

// Those that have only a name: of each variable in the graph that the bundle has under it.
void SavedModelFile::read_named_variables() {
  if (!bundle_) return;
  for (const tf::NodeDef& node : graph_.graph_def().node()) {
    if (node.op() != "VarHandleOp" && node.op() != "VariableV2" && node.op() != "Variable") {
      continue;
    }
    std::string key = node.name();
    const auto shared = node.attr().find("shared_name");
    if (shared != node.attr().end() && bundle_->contains(shared->second.s())) {
      key = shared->second.s();
    }
    if (!bundle_->contains(key)) continue;
    const bool is_trainable =
        !has_trainable_collection_ || std::ranges::binary_search(trainable_names_, node.name());
    by_full_name_.emplace(key, add_variable(key, key, is_trainable));
  }
}

const std::vector<Capture>* SavedModelFile::captures(const std::string& function) const {
  const auto found = captures_.find(function);
  return found == captures_.end() ? nullptr : &found->second;
}

std::optional<size_t> SavedModelFile::find_variable(const std::string& shared_name,
                                                    const std::string& node_name) const {
  for (const std::string& name : {shared_name, node_name}) {
    const auto found = by_full_name_.find(name);
    if (!name.empty() && found != by_full_name_.end()) return found->second;
  }
  return std::nullopt;
}

Tensor SavedModelFile::read(size_t index) const {
  const SavedVariable& variable = variables_.at(index);
  const std::lock_guard lock(mutex_);
  Tensor& value = values_[index];
  if (!value.defined()) {
    if (variable.key.empty()) {
      throw data_loss(path_, "/variables: expected a value of the variable \"",
                      printable(variable.name), "\", found none");
    }
    value = bundle_->view(variable.key);
  }
  return value;
}

std::string SavedModelFile::job_text() const {
  const std::string file = path_ + "/assets.extra/trireme/job.textproto";
  return is_file(file) ? io::read_file(file, kMostJobBytes) : "";
}

std::string SavedModelFile::describe() const {
  std::string text = str_cat("SavedModel");
  if (!version().empty()) text += str_cat(", written by TensorFlow ", printable(version()));
  text += "\n";
  for (const Signature& signature : signatures_) {
    text += str_cat("signature \"", printable(signature.name), "\"\n");
    for (const SignatureValue& value : signature.inputs) {
      text += str_cat("  input   ", printable(to_text(value)), "\n");
    }
    for (const SignatureValue& value : signature.outputs) {
      text += str_cat("  output  ", printable(to_text(value)), "\n");
    }
  }
  size_t bytes = 0;
  for (const SavedVariable& variable : variables_) bytes += variable.type.bytes();
  text += str_cat(variables_.size(), " variables, ", bytes, " bytes\n");
  for (const SavedVariable& variable : variables_) {
    text +=
        str_cat("  ", printable(variable.name), "  ",
                variable.unknown_dtype.empty() ? variable.type.to_string() : variable.unknown_dtype,
                variable.is_trainable ? "" : "  not trainable",
                variable.key.empty() ? "  without a value" : "", "\n");
  }
  return text;
}

}  // namespace trireme::formats
