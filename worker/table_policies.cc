#include "worker/table_policies.h"

#include <string>

#include "core/base/error.h"
#include "worker/job_file.h"

namespace trireme {
namespace {

// Looks through the options of layers, and of the layers within them, for a policy that is there.
class PolicySearch : public OptionVisitor {
 public:
  explicit PolicySearch(const JobFile& file) : file_(file) {}

  void visit(nn::Layer& layer, const std::string& place) {
    const std::string outer = std::exchange(path_, place + "." + layer.type());
    layer.describe(*this);
    path_ = outer;
  }

  bool begin_group(const OptionInfo& info, bool& present) override {
    if (present) groups_.push_back(str_cat(path_, ".", info.name));
    return present;
  }
  void end_group() override { groups_.pop_back(); }
  void components(const OptionInfo& info, ComponentListSlot& slot) override {
    for (size_t i = 0; i < slot.size(); ++i) {
      if (auto* const layer = dynamic_cast<nn::Layer*>(slot.get(i))) {
        visit(*layer, str_cat(path_, ".", info.name, "[", i, "]"));
      }
    }
  }
  void component(const OptionInfo&, ComponentSlot&) override {}

  void field(const OptionInfo& info, int64_t&) override {
    if (info.name != "admit_after" || groups_.empty()) return;
    throw invalid_argument(
        file_.where(groups_.back()), groups_.back(),
        ": is about rows on parameter servers, and this training has none there; use strategy "
        "parameter_server or hybrid with servers (trireme launch --ps 1), or remove it");
  }
  void field(const OptionInfo&, bool&) override {}
  void field(const OptionInfo&, uint64_t&) override {}
  void field(const OptionInfo&, double&) override {}
  void field(const OptionInfo&, std::string&) override {}
  void field(const OptionInfo&, std::optional<bool>&) override {}
  void field(const OptionInfo&, std::optional<int64_t>&) override {}
  void field(const OptionInfo&, std::optional<double>&) override {}
  void field(const OptionInfo&, std::optional<std::string>&) override {}
  void field(const OptionInfo&, std::vector<int64_t>&) override {}
  void field(const OptionInfo&, std::vector<double>&) override {}
  void field(const OptionInfo&, std::vector<std::string>&) override {}
  void negated(const OptionInfo&, bool&) override {}
  void choice(const OptionInfo&, std::span<const std::string_view>, size_t&) override {}

 private:
  const JobFile& file_;
  std::string path_;  // of the layer that is visited
  std::vector<std::string> groups_;
};

}  // namespace

void check_table_policies(const JobFile& file, const nn::LayerList& layers, bool uses_servers) {
  if (uses_servers) return;
  PolicySearch search(file);
  for (size_t i = 0; i < layers.size(); ++i) {
    search.visit(*layers[i], str_cat("model.layers[", i, "]"));
  }
}

}  // namespace trireme
