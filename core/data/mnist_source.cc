// data { mnist }
#include <filesystem>

#include "core/data/idx.h"
#include "core/data/image_examples.h"

namespace trireme::data {
namespace {

namespace fs = std::filesystem;

class MnistSource final : public Source {
 public:
  void describe(OptionVisitor& visitor) override {
    visitor.field({.name = "directory", .help = "relative: looked for below the data folder"},
                  directory_);
  }

  SourceData build(const SourceContext& context) const override {
    const std::string folder = context.find(directory_);
    return image_data("mnist in " + folder, mnist(folder, Split::kTrain).dataset(),
                      mnist(folder, Split::kTest).dataset());
  }
  std::vector<SourceFile> files(const SourceContext& context) const override {
    std::vector<SourceFile> files;
    for (const char* name : {"train-images-idx3-ubyte", "train-labels-idx1-ubyte",
                             "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"}) {
      // Under its own name or with .gz, as mnist() looks for it.
      const std::string path = (fs::path(context.find(directory_)) / name).string();
      for (const std::string& found : {path, path + ".gz"}) {
        if (!fs::exists(found)) continue;
        files.push_back({"data.mnist.directory", found});
        break;
      }
    }
    return files;
  }
  std::unique_ptr<ExampleReader> open_examples(const SourceContext& context,
                                               const std::string& path) const override {
    auto reader = open_idx_images(path);
    require_images(context);
    return reader;
  }

 private:
  std::string directory_ = "mnist";
};

}  // namespace

void add_mnist(Catalog<Source>& catalog) {
  catalog.add<MnistSource>(
      "mnist", "", "MNIST or Fashion-MNIST in IDX files, .gz or not, under their usual names.");
}

}  // namespace trireme::data
