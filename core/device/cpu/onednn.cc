#include "core/device/cpu/onednn.h"

#include "core/base/error.h"
#include "core/base/openmp_regions.h"

namespace trireme::onednn {

using dnnl::memory;

const dnnl::engine& cpu_engine() {
  static const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  return engine;
}

dnnl::primitive_attr attributes() {
  dnnl::primitive_attr attr;
  attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  return attr;
}

dnnl::primitive_attr attributes_with_activation(std::string_view activation) {
  dnnl::primitive_attr attr = attributes();
  if (activation == "none") return attr;
  dnnl::post_ops after;
  if (activation == "relu") {
    after.append_eltwise(1, dnnl::algorithm::eltwise_relu, 0, 0);
  } else if (activation == "sigmoid") {
    after.append_eltwise(1, dnnl::algorithm::eltwise_logistic, 0, 0);
  } else {
    TRIREME_CHECK(activation == "tanh", "activation ", activation);
    after.append_eltwise(1, dnnl::algorithm::eltwise_tanh, 0, 0);
  }
  attr.set_post_ops(after);
  return attr;
}

memory::desc plain(const memory::dims& dims) {
  memory::dims strides(dims.size(), 1);
  for (size_t i = dims.size(); i-- > 1;) strides[i - 1] = strides[i] * dims[i];
  return strided(dims, strides);
}

memory::desc strided(const memory::dims& dims, const memory::dims& strides) {
  return {dims, memory::data_type::f32, strides};
}

memory::desc any_format(const memory::dims& dims) {
  return {dims, memory::data_type::f32, memory::format_tag::any};
}

// One primitive and its arguments, which the C interface takes as they are kept here.
struct OneDnnProgram::Step {
  dnnl::primitive primitive;
  std::vector<memory> memories;
  std::vector<Place> places;
  std::vector<void*> addresses;  // what the memories point at now
  std::vector<dnnl_exec_arg_t> arguments;
};

struct OneDnnProgram::State {
  dnnl::stream stream{cpu_engine()};
  std::vector<Step> steps;
  size_t scratch_bytes = 0;

  void run(const KernelArgs& args) {
    const OpenMpRegions on_pool;
    for (Step& step : steps) {
      for (size_t i = 0; i < step.places.size(); ++i) {
        const Place place = step.places[i];
        void* address = place.kind == Place::kInput ? args.inputs[place.at]
                        : place.kind == Place::kOutput
                            ? args.outputs[place.at]
                            : static_cast<char*>(args.scratch) + place.at;
        if (address == step.addresses[i]) continue;
        step.addresses[i] = address;
        step.memories[i].set_data_handle(address);
      }
      const dnnl_status_t status =
          dnnl_primitive_execute(step.primitive.get(), stream.get(),
                                 static_cast<int>(step.arguments.size()), step.arguments.data());
      TRIREME_CHECK(status == dnnl_success, "a oneDNN primitive failed with status ", int{status});
    }
    stream.wait();
  }
};

std::shared_ptr<OneDnnProgram::State> OneDnnProgram::state() {
  if (!state_) state_ = std::make_shared<State>();
  return state_;
}

OneDnnProgram::Place OneDnnProgram::scratch(const memory::desc& desc) {
  size_t& used = state()->scratch_bytes;
  const Place place{Place::kScratch, used};
  used += align_up(desc.get_size());
  return place;
}

void OneDnnProgram::add(const dnnl::primitive& primitive, const memory::desc& scratchpad,
                        std::vector<Argument> arguments) {
  if (scratchpad.get_size() > 0) {
    arguments.push_back({DNNL_ARG_SCRATCHPAD, scratchpad, scratch(scratchpad)});
  }
  Step step{.primitive = primitive};
  for (const Argument& argument : arguments) {
    step.memories.emplace_back(argument.desc, cpu_engine(), nullptr);
    step.places.push_back(argument.place);
    step.addresses.push_back(nullptr);
    step.arguments.push_back({argument.id, step.memories.back().get()});
  }
  state()->steps.push_back(std::move(step));
}

OneDnnProgram::Place OneDnnProgram::as(const memory::desc& want, const memory::desc& have,
                                       Place place) {
  if (want == have) return place;
  const Place converted = scratch(want);
  reorder(have, place, want, converted);
  return converted;
}

void OneDnnProgram::reorder(const memory::desc& have, Place from, const memory::desc& want,
                            Place to) {
  const dnnl::reorder::primitive_desc description(cpu_engine(), have, cpu_engine(), want,
                                                  attributes());
  add(dnnl::reorder(description), description.scratchpad_desc(),
      {{DNNL_ARG_FROM, have, from}, {DNNL_ARG_TO, want, to}});
}

PreparedKernel OneDnnProgram::finish() && {
  auto program = state();
  state_.reset();
  return {[program](const KernelArgs& args) { program->run(args); }, program->scratch_bytes};
}

void throw_onednn_error(const KernelSpec& spec, const dnnl::error& error) {
  std::string inputs;
  for (const TensorType& type : spec.inputs) inputs = str_cat(inputs, " ", type);
  throw invalid_argument(spec.where(), ": oneDNN cannot do", inputs, " with ",
                         spec.attributes.to_string(), " (", error.what(), ")");
}

}  // namespace trireme::onednn
