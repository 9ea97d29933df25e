// A callback: loss_lines, a line with the loss for each epoch.
#include <cmath>
#include <cstdio>

#include "core/base/error.h"
#include "core/nn/callbacks.h"
#include "own_parts.h"

namespace own {
namespace {

using namespace trireme;

class LossLines : public nn::Callback {
 public:
  void describe(OptionVisitor& v) override {
    v.field({.name = "file", .help = "to which the lines are added"}, file_);
  }
  void check() const override {
    if (file_.empty()) throw invalid_argument("loss_lines: expected a file");
  }
  // Each of several workers has the callback, and one of them writes.
  void on_epoch_end(nn::Training& training, nn::Logs logs) override {
    if (!writes()) return;
    std::FILE* const file = std::fopen(file_.c_str(), "a");
    if (file == nullptr) throw failed(file_, ": cannot be written");
    std::fprintf(file, "epoch %lld: loss %.9g\n", static_cast<long long>(training.epoch()),
                 logs.front().value.value_or(NAN));
    std::fclose(file);
  }

 private:
  std::string file_;
};

}  // namespace

void add_loss_lines(Catalog<nn::Callback>& callbacks) {
  callbacks.add<LossLines>("loss_lines", "", "Adds a line with the loss of each epoch to a file.");
}

}  // namespace own
