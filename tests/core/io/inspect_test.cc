#include "core/io/inspect.h"

#include <cmath>

#include "core/io/checkpoint.h"
#include "files.h"

namespace trireme::io {
namespace {

using testing::AllOf;
using testing::ContainsRegex;
using testing::HasSubstr;

TEST(Inspect, Checkpoint) {
  TemporaryDirectory dir;
  BundleWriter writer(dir / "m");
  writer.add("dense/kernel", Tensor::from<float>({2, 2}, {-1, 2, 3, -4}));
  writer.add("bad", Tensor::from<double>({2}, {NAN, 3}));
  writer.add("step", Tensor::scalar<int64_t>(7));
  writer.add("labels", Tensor::from<std::string>({2}, {"cat", "dog"}));
  writer.add("empty", Tensor(DType::kFloat32, {0}));
  writer.finish();
  for (const char* path : {"m", "m.index", "m.data-00000-of-00001"}) {
    const std::string text = inspect(dir / path);
    EXPECT_THAT(text, ContainsRegex("dense/kernel +f32 +\\[2, 2\\] +16 +-4 +3 +0 +5.4772\n"));
    EXPECT_THAT(text, ContainsRegex("bad +f64 .* 3 +3 +3 +3 \\(1 not finite\\)\n"));
    EXPECT_THAT(text, ContainsRegex("step +i64 +\\[\\] +8\n"));
    EXPECT_THAT(text, HasSubstr("5 tensors, 6 floating-point parameters"));
  }
  overwrite(dir / "m.data-00000-of-00001", std::string(100, 'x'));
  EXPECT_EQ(error_of([&] { inspect(dir / "m"); }).code(), ErrorCode::kDataLoss);
}

TEST(Inspect, Directory) {
  TemporaryDirectory dir;
  CheckpointManager manager(dir.path());
  manager.save(1, {{"x", Tensor::scalar<float>(1)}});
  manager.save(2, {{"x", Tensor::scalar<float>(1)}});
  EXPECT_THAT(inspect(dir.path()), AllOf(HasSubstr("2 complete checkpoints"),
                                         HasSubstr("ckpt-2: 1 tensors, 4 bytes (latest)")));
}

TEST(Inspect, UnknownKindSaysWhatIsKnown) {
  TemporaryDirectory dir;
  overwrite(dir / "notes.txt", "hello");
  const Error unknown = error_of([&] { inspect(dir / "notes.txt"); });
  EXPECT_EQ(unknown.code(), ErrorCode::kInvalidArgument);
  EXPECT_THAT(unknown.what(), AllOf(HasSubstr("notes.txt: expected a checkpoint"),
                                    HasSubstr("a directory of checkpoints")));
  EXPECT_EQ(error_of([&] { inspect(dir / "none"); }).code(), ErrorCode::kNotFound);
}

}  // namespace
}  // namespace trireme::io
