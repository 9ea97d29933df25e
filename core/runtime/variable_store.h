// The variables of a session: named tensors that live on their device from one step to the next.
//
// Not synchronised: read and written between runs, by the thread that runs the session.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "core/device/device.h"

namespace trireme {

class VariableStore {
 public:
  // `devices` outlives the store.
  explicit VariableStore(const DeviceSet& devices) : devices_(devices) {}

  // Copies `value` (on the host) into the variable. It is made on `device` when it is not there
  // yet; the address of one that a plan uses does not change. Throws invalid_argument when dtype or
  // shape differ from what is there. Pages of a file (core/tensor/mapped_buffer.h) are copied only
  // when a plan first uses the variable.
  void set(const std::string& name, const Tensor& value, const std::string& device = "");
  Tensor get(const std::string& name) const;  // a copy on the host; throws not_found
  bool has(const std::string& name) const { return variables_.contains(name); }
  std::vector<std::string> names() const;
  std::map<std::string, Tensor> snapshot() const;  // all of them, copied to the host

  // The device on which a plan uses it; empty: none does yet.
  std::string home(const std::string& name) const;

  // The memory itself, for the executor; moved to `device` when nobody has asked before. Throws
  // Error naming the variable when it was never set.
  Tensor& at(const std::string& name, const TensorType& expected, const std::string& device);

 private:
  struct Variable {
    Tensor tensor;
    std::string device;
    bool in_use = false;  // its address is known to a plan
  };
  void own(const std::string& name, Variable& variable);  // no pages of a file any more

  const DeviceSet& devices_;
  std::map<std::string, Variable> variables_;
};

}  // namespace trireme
