// trireme export and fetch-model, as a user would call them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "core/io/zip_writer.h"
#include "tests/launcher/program.h"

namespace trireme {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using ::testing::HasSubstr;
using testing::ProcessResult;
using testing::read_text;
using testing::trireme_run;

class ExportTest : public ::testing::Test {
 protected:
  void SetUp() override {
    job_ = folder_.write("small.textproto", testing::kSmallJob);
    ASSERT_EQ(trireme_run({"train", job_, "--quiet", "--output-dir", folder_ / "run"}).exit_code,
              0);
    const ProcessResult result =
        trireme_run({"export", folder_ / "run", folder_ / "small", "--license", "apache-2.0",
                     "--tag", "digits", "--dataset", "mine", "--metric", "wit=0.25"});
    ASSERT_EQ(result.exit_code, 0) << result.err;
  }
  std::string in(const std::string& name) { return folder_ / ("small/" + name); }
  // That nothing was copied, and why.
  std::string refusal() {
    const ProcessResult result = trireme_run({"fetch-model", folder_ / "small", folder_ / "copy"});
    EXPECT_EQ(result.exit_code, 2) << result.err;
    EXPECT_FALSE(fs::exists(folder_ / "copy"));
    return result.err;
  }
  json manifest() { return json::parse(read_text(in("manifest.json"))); }
  void write(const std::string& name, const std::string& text) { std::ofstream(in(name)) << text; }
  void rename_first(const std::string& name) {
    json changed = manifest();
    changed["files"][0]["path"] = name;
    write("manifest.json", changed.dump());
  }

  testing::TemporaryDirectory folder_;
  std::string job_;
};

// Whoever is given the folder needs neither the run nor its data.
TEST_F(ExportTest, MakesAFolderThatPredictsAsTheRunDoes) {
  const std::string card = read_text(in("README.md"));
  EXPECT_THAT(card, ::testing::StartsWith("---\nlibrary_name: trireme\nlicense: \"apache-2.0\"\n"));
  for (const char* part : {"- \"digits\"\n", "datasets:\n- \"mine\"\n", "type: \"val_accuracy\"",
                           "`float32[batch, 28, 28, 1]`", "`float32[batch, 10]`",
                           "20 steps in 2 epochs with adam", "| wit | 0.25 |", "Data: digits"}) {
    EXPECT_THAT(card, HasSubstr(part));
  }
  const json config = json::parse(read_text(in("config.json")));
  EXPECT_EQ(config["parameters"], 784 * 16 + 16 + 16 * 10 + 10);
  EXPECT_EQ(config["signature"]["outputs"][0]["name"], "logits");
  EXPECT_EQ(config["license"], "apache-2.0");
  EXPECT_TRUE(config["metrics"].contains("val_loss"));
  const ProcessResult fetched = trireme_run({"fetch-model", folder_ / "small", folder_ / "copy"});
  ASSERT_EQ(fetched.exit_code, 0) << fetched.err;
  EXPECT_EQ(json::parse(fetched.out)["files"], manifest()["files"].size());
  const auto predictions = [&](const std::string& job, const std::string& from) {
    const ProcessResult result = trireme_run({"predict", job, "--checkpoint", from, "--quiet"});
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return result.out;
  };
  EXPECT_EQ(predictions(folder_ / "copy/job.textproto", folder_ / "copy"),
            predictions(job_, folder_ / "run"));
  EXPECT_EQ(trireme_run({"fetch-model", folder_ / "small", folder_ / "copy"}).exit_code, 2);
}

// A byte that is another, in a file of the same size.
TEST_F(ExportTest, RefusesAFileThatWasChanged) {
  std::string weights = read_text(in("model.safetensors"));
  weights.back() = static_cast<char>(weights.back() ^ 1);
  write("model.safetensors", weights);
  EXPECT_THAT(refusal(), HasSubstr("\"model.safetensors\" was changed: expected SHA-256"));
  write("model.safetensors", weights.substr(1));
  EXPECT_THAT(refusal(), HasSubstr("expected " + std::to_string(weights.size()) + " bytes"));
  fs::remove(in("model.safetensors"));
  EXPECT_THAT(refusal(), HasSubstr("is not there as a plain file"));
}

// A manifest of somebody else's must not reach what is outside of its folder.
TEST_F(ExportTest, RefusesPathsOutOfTheFolder) {
  folder_.write("secret", "s");
  for (const char* path : {"../secret", "/etc/passwd", "a/../../secret", "", "a//b", ".", "a\\b"}) {
    rename_first(path);
    EXPECT_THAT(refusal(), HasSubstr("is no path within the folder")) << path;
  }
  rename_first("link");
  fs::create_symlink(folder_ / "secret", in("link"));
  EXPECT_THAT(refusal(), HasSubstr("\"link\" of the manifest is not there as a plain file"));
}

TEST_F(ExportTest, RefusesAManifestThatIsNone) {
  write("manifest.json", std::string(100'000, '['));
  EXPECT_THAT(refusal(), HasSubstr("expected JSON of at most 16 levels"));
  write("manifest.json", "{\"version\": 1, \"files\": [{\"path\": 3}]}");
  EXPECT_THAT(refusal(), HasSubstr("file 1 has no path, size and sha256"));
  write("manifest.json", "{\"version\": 1, \"files\": []}");
  EXPECT_THAT(refusal(), HasSubstr("does not name"));
}

// What nobody vouches for is not copied.
TEST_F(ExportTest, LeavesOutWhatTheManifestDoesNotName) {
  write("extra.sh", "rm");
  const ProcessResult result = trireme_run({"fetch-model", folder_ / "small", folder_ / "copy"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.err, HasSubstr("not in the manifest, not copied: \"extra.sh\""));
  EXPECT_FALSE(fs::exists(folder_ / "copy/extra.sh"));
  EXPECT_TRUE(fs::exists(folder_ / "copy/README.md"));
}

class ArchiveTest : public ExportTest {
 protected:
  // All files of the folder, or others in their place, below `prefix`.
  std::string archive(const std::string& prefix,
                      const std::map<std::string, std::string>& other = {}) {
    const std::string path = folder_ / "small.zip";
    fs::remove(path);
    io::ZipWriter writer(path);
    for (const auto& entry : fs::directory_iterator(folder_ / "small")) {
      const std::string name = entry.path().filename();
      const auto found = other.find(name);
      writer.add(prefix + name, found == other.end() ? read_text(entry.path()) : found->second);
    }
    writer.commit();
    return path;
  }
};

TEST_F(ArchiveTest, IsCheckedAndUnpacked) {
  for (const char* prefix : {"", "small-1.0/"}) {
    fs::remove_all(folder_ / "copy");
    const ProcessResult result = trireme_run({"fetch-model", archive(prefix), folder_ / "copy"});
    ASSERT_EQ(result.exit_code, 0) << result.err;
    EXPECT_EQ(read_text(folder_ / "copy/model.safetensors"), read_text(in("model.safetensors")));
  }
  EXPECT_EQ(trireme_run({"fetch-model", folder_ / "small.zip"}).exit_code, 0);
}

// A bomb says one size in the manifest and has another, or none of the manifest's files at all.
TEST_F(ArchiveTest, IsRefusedWhereItIsNotWhatTheManifestSays) {
  const auto refusal_of = [&](const std::string& path) {
    const ProcessResult result = trireme_run({"fetch-model", path, folder_ / "copy"});
    EXPECT_EQ(result.exit_code, 2) << result.err;
    EXPECT_FALSE(fs::exists(folder_ / "copy"));
    return result.err;
  };
  EXPECT_THAT(refusal_of(archive("", {{"README.md", std::string(1 << 20, ' ')}})),
              HasSubstr("found 1048576"));
  std::string config = read_text(in("config.json"));
  config[5] = config[5] == 'x' ? 'y' : 'x';
  EXPECT_THAT(refusal_of(archive("", {{"config.json", config}})), HasSubstr("was changed"));
  rename_first("../secret");
  EXPECT_THAT(refusal_of(archive("")), HasSubstr("is no path within the folder"));
  std::string cut = read_text(archive(""));
  cut.resize(cut.size() / 2);
  EXPECT_THAT(refusal_of(folder_.write("cut.zip", cut)), HasSubstr("cut.zip"));
}

}  // namespace
}  // namespace trireme
