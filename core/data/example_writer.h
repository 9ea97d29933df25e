// Serialized tf.train.Example and SequenceExample messages, for RecordWriter:
//
//   data::RecordWriter writer("train.tfrecord");
//   data::ExampleWriter example;
//   example.add("x", x);                             // f32, i64, i32, u8 or string; any shape
//   example.add("label", Tensor::scalar<int64_t>(3));
//   writer.write(example.finish());
//
// One thread.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "core/tensor/tensor.h"

namespace trireme::data {

class ExampleWriter {
 public:
  // A feature; of a SequenceExample one of its context. f32 becomes a FloatList, integers an
  // Int64List, strings a BytesList. Throws Error{kInvalidArgument} for other types.
  void add(std::string_view name, const Tensor& values);
  // One string.
  void add_bytes(std::string_view name, std::string_view bytes);
  // A list of steps, one a row of `values`: the message is a SequenceExample.
  void add_steps(std::string_view name, const Tensor& values);

  // The message; the writer is empty afterwards.
  std::string finish();

 private:
  std::string features_, feature_lists_;
};

}  // namespace trireme::data
