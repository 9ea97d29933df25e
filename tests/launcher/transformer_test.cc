// A small char_transformer, trained alone and by two workers. The job is that of
// examples/char_transformer.textproto, narrower and over a short text.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>

#include "tests/launcher/program.h"
#include "tests/support/training_log.h"

namespace trireme {
namespace {

using namespace std::chrono_literals;
using testing::kProgram;
using testing::Process;
using testing::ProcessResult;
using testing::TemporaryDirectory;

constexpr char kText[] = "the quick brown fox jumps over the lazy dog. ";

constexpr char kModel[] = R"(
model {
  layers { token_and_position_embedding { vocabulary: 28 sequence_length: 16 dimension: 16 } }
  layers { transformer_block { num_heads: 2 intermediate_dim: 32 activation: GELU_TANH use_causal_mask: true } }
  layers { transformer_block { num_heads: 2 intermediate_dim: 32 activation: GELU_TANH use_causal_mask: true } }
  layers { layer_norm { epsilon: 1e-5 } }
  layers { name: "next" dense { units: 28 } }
}
loss { sparse_categorical_cross_entropy {} }
optimizer { adamw { weight_decay: 0.01 } learning_rate: 0.01 }
metrics: ACCURACY
epochs: 3
batch_size: 16
)";

class TransformerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string text;
    for (int i = 0; i < 40; ++i) text += kText;
    const std::string file = folder_.write("text.txt", text);
    job_ = folder_.write("job.textproto", "name: \"small\"\ndata { characters { file: \"" + file +
                                              "\" context: 16 stride: 5 } }\n" + kModel);
  }
  std::string log_of(const std::string& name, std::vector<std::string> command) {
    command.insert(command.end(), {job_, "--threads", "1", "--output-dir", folder_ / name});
    const ProcessResult result = Process(command).wait(60s);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return testing::read_log((folder_ / name) + "/log.csv");
  }

  TemporaryDirectory folder_;
  std::string job_;
};

// Attention, its gradient and all that stands around it are split over workers as other layers are.
TEST_F(TransformerTest, TwoWorkersTrainAsOneProcess) {
  const std::string alone = log_of("alone", {kProgram, "train"});
  testing::expect_close(log_of("two", {kProgram, "launch", "--workers", "2"}), alone);
  const auto cells = testing::numbers(alone);  // epoch, loss, accuracy, val_loss, val_accuracy
  ASSERT_EQ(cells.size(), 15u);
  // The text can be learned by heart.
  EXPECT_GT(cells[1], 1.0);
  EXPECT_LT(cells[11], 0.5 * cells[1]);
}

}  // namespace
}  // namespace trireme
