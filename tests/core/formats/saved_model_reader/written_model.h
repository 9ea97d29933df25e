// A SavedModel that a test writes node by node, to say what TensorFlow would not.
#pragma once

#include <filesystem>
#include <fstream>
#include <initializer_list>
#include <string>

#include "core/io/tensor_bundle.h"
#include "proto/tf/saved_model.pb.h"

namespace trireme::formats::testing {

class WrittenModel {
 public:
  WrittenModel() {
    model_.set_saved_model_schema_version(1);
    graph_ = model_.add_meta_graphs();
    graph_->mutable_meta_info_def()->add_tags("serve");
  }

  tf::GraphDef& graph() { return *graph_->mutable_graph_def(); }

  static tf::NodeDef& add(google::protobuf::RepeatedPtrField<tf::NodeDef>& nodes,
                          const std::string& op, const std::string& name,
                          std::initializer_list<std::string> inputs = {}) {
    tf::NodeDef& node = *nodes.Add();
    node.set_op(op);
    node.set_name(name);
    for (const std::string& input : inputs) node.add_input(input);
    return node;
  }
  tf::NodeDef& add(const std::string& op, const std::string& name,
                   std::initializer_list<std::string> inputs = {}) {
    return add(*graph().mutable_node(), op, name, inputs);
  }
  static void set_int(tf::NodeDef& node, int32_t value) {
    tf::TensorProto& tensor = *(*node.mutable_attr())["value"].mutable_tensor();
    tensor.set_dtype(tf::DT_INT32);
    tensor.mutable_tensor_shape();
    tensor.add_int_val(value);
  }
  tf::FunctionDef& function(const std::string& name, std::initializer_list<std::string> arguments,
                            const std::string& returned) {
    tf::FunctionDef& made = *graph().mutable_library()->add_function();
    made.mutable_signature()->set_name(name);
    for (const std::string& argument : arguments) {
      made.mutable_signature()->add_input_arg()->set_name(argument);
    }
    made.mutable_signature()->add_output_arg()->set_name("out");
    (*made.mutable_ret())["out"] = returned;
    return made;
  }

  // The signature serving_default from "x", f32 [batch, 2], to `output`.
  void sign(const std::string& output) {
    tf::SignatureDef& signature = (*graph_->mutable_signature_def())["serving_default"];
    tf::TensorInfo& x = (*signature.mutable_inputs())["x"];
    x.set_name("x:0");
    x.set_dtype(tf::DT_FLOAT);
    x.mutable_tensor_shape()->add_dim()->set_size(-1);
    x.mutable_tensor_shape()->add_dim()->set_size(2);
    tf::TensorInfo& y = (*signature.mutable_outputs())["y"];
    y.set_name(output);
    y.set_dtype(tf::DT_FLOAT);
    add("Placeholder", "x");
  }

  std::string write(const std::string& folder) const {
    std::filesystem::create_directories(folder);
    std::ofstream(folder + "/saved_model.pb", std::ios::binary) << model_.SerializeAsString();
    return folder;
  }

 private:
  tf::SavedModel model_;
  tf::MetaGraphDef* graph_ = nullptr;
};

}  // namespace trireme::formats::testing
