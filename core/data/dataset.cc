// The methods of Dataset.
#include "core/data/dataset.h"

#include <glob.h>

#include <algorithm>

#include "core/base/error.h"
#include "core/data/element_file.h"
#include "core/data/stages.h"

namespace trireme::data {
namespace {

std::vector<NodePtr> nodes_of(const std::vector<Dataset>& datasets) {
  std::vector<NodePtr> nodes;
  for (const Dataset& dataset : datasets) nodes.push_back(dataset.node());
  return nodes;
}

Dataset numbers(int64_t size, std::function<int64_t(int64_t)> number) {
  return from_function({{"value", DType::kInt64, {}}}, size,
                       [number = std::move(number)](int64_t index, Element& out) {
                         out.resize(1);
                         prepare(out[0], DType::kInt64, {});
                         out[0].flat<int64_t>()[0] = number(index);
                       });
}

// The bucket of a length: the number of boundaries that are not above it.
int64_t bucket_of(const std::vector<int64_t>& boundaries, int64_t length) {
  return std::ranges::upper_bound(boundaries, length) - boundaries.begin();
}

}  // namespace

Dataset Dataset::map(MapFunction function, MapOptions options) const {
  return Dataset(make_map(node_, std::move(function), std::move(options)));
}
Dataset Dataset::shuffle(uint64_t seed) const { return Dataset(make_shuffle(node_, seed)); }
Dataset Dataset::shuffle(uint64_t seed, int64_t block_size) const {
  return Dataset(make_shuffle_blocks(node_, seed, block_size));
}
Dataset Dataset::batch(int64_t size, bool drop_remainder) const {
  return Dataset(make_batch(node_, size, drop_remainder));
}
Dataset Dataset::batch_part(int64_t size, int64_t index, int64_t count) const {
  return Dataset(make_batch_part(node_, size, index, count));
}
Dataset Dataset::repeat(int64_t count) const { return Dataset(make_repeat(node_, count)); }
Dataset Dataset::take(int64_t count) const { return Dataset(make_take(node_, count)); }
Dataset Dataset::skip(int64_t count) const { return Dataset(make_skip(node_, count)); }
Dataset Dataset::shard(int64_t num_shards, int64_t index) const {
  return Dataset(make_shard(node_, num_shards, index));
}
Dataset Dataset::cache() const { return Dataset(make_cache(node_)); }
Dataset Dataset::cache(const std::string& path) const {
  return Dataset(make_cache_file(node_, path));
}
Dataset Dataset::snapshot(const std::string& path) const {
  return Dataset(make_snapshot(node_, path));
}
void Dataset::save(const std::string& path) const { write_elements(node_, path); }
Dataset load(const std::string& path) { return Dataset(make_load(path)); }
Dataset Dataset::prefetch(int depth, int threads) const {
  return Dataset(make_prefetch(node_, depth, threads));
}
Dataset Dataset::rename(const std::vector<std::string>& names) const {
  return Dataset(make_rename(node_, names));
}
Dataset Dataset::enumerate(int64_t start, const std::string& name) const {
  const Dataset count = counter(start).rename({name});
  return Dataset(make_zip({count.node_, node_}, /*leader=*/1));
}
Dataset Dataset::concatenate(const Dataset& other) const {
  return Dataset(make_concatenate(node_, other.node_));
}
Dataset Dataset::filter(Predicate keep) const {
  return Dataset(make_filter(node_, std::move(keep)));
}
Dataset Dataset::take_while(Predicate go_on) const {
  return Dataset(make_take_while(node_, std::move(go_on)));
}
Dataset Dataset::ignore_errors() const { return Dataset(make_ignore_errors(node_)); }
Dataset Dataset::unique() const { return Dataset(make_unique(node_)); }
Dataset Dataset::scan(Element initial, ScanFunction function,
                      std::optional<ElementSpec> output) const {
  return Dataset(make_scan(node_, std::move(initial), std::move(function),
                           output ? *std::move(output) : element_spec()));
}
Dataset Dataset::rejection_resample(ResampleOptions options) const {
  return Dataset(make_rejection_resample(node_, std::move(options)));
}
Dataset Dataset::flat_map(ExpandFunction expand, ElementSpec output) const {
  return Dataset(make_interleave(node_, std::move(expand), std::move(output), {}));
}
Dataset Dataset::interleave(ExpandFunction expand, ElementSpec output,
                            InterleaveOptions options) const {
  return Dataset(make_interleave(node_, std::move(expand), std::move(output), options));
}
Dataset Dataset::unbatch() const { return Dataset(make_unbatch(node_)); }
Dataset Dataset::rebatch(int64_t size, bool drop_remainder) const {
  return unbatch().batch(size, drop_remainder);
}
Dataset Dataset::window(WindowOptions options) const {
  return Dataset(make_window(node_, options));
}
Dataset Dataset::padded_batch(int64_t size, PaddingOptions options) const {
  return Dataset(make_padded_batch(node_, size, std::move(options)));
}
Dataset Dataset::group_by_window(GroupOptions options) const {
  return Dataset(make_group_by_window(node_, std::move(options)));
}

Dataset Dataset::bucket_by_sequence_length(BucketOptions options) const {
  static constexpr std::string_view kWhat = "bucket_by_sequence_length";
  const ElementSpec& spec = element_spec();
  size_t component = 0;
  while (!options.component.empty() && component < spec.size() &&
         spec[component].name != options.component) {
    ++component;
  }
  if (component == spec.size() || spec[component].shape.rank() == 0) {
    throw invalid_argument(kWhat,
                           ": expected the name of a component that has a first axis, found \"",
                           options.component, '"');
  }
  if (options.boundaries.empty() ||
      std::ranges::adjacent_find(options.boundaries, std::greater_equal<>()) !=
          options.boundaries.end() ||
      options.batch_sizes.size() != options.boundaries.size() + 1) {
    throw invalid_argument(kWhat,
                           ": expected boundaries in ascending order and one batch size more, "
                           "found ",
                           options.boundaries.size(), " boundaries and ",
                           options.batch_sizes.size(), " batch sizes");
  }
  std::string name(kWhat);
  for (const int64_t boundary : options.boundaries) name += str_cat(' ', boundary);
  for (const int64_t size : options.batch_sizes) name += str_cat('/', size);
  if (options.pad_to_boundary) name += " pad_to_boundary";
  GroupOptions group{.padding = std::move(options.padding), .name = std::move(name)};
  group.key = [component, boundaries = options.boundaries,
               bounded = options.pad_to_boundary](const Element& element) {
    const int64_t length = element[component].shape()[0];
    const int64_t bucket = bucket_of(boundaries, length);
    if (bounded && bucket == static_cast<int64_t>(boundaries.size())) {
      throw invalid_argument(kWhat, ": an element has the length ", length,
                             ", with pad_to_boundary it must be below the last boundary ",
                             boundaries.back());
    }
    return bucket;
  };
  group.window_size = [sizes = options.batch_sizes](int64_t bucket) {
    return sizes[static_cast<size_t>(bucket)];
  };
  if (options.pad_to_boundary) {
    group.padded_length = [boundaries = options.boundaries](int64_t bucket) {
      return boundaries[static_cast<size_t>(bucket)] - 1;
    };
  }
  return group_by_window(std::move(group));
}

Dataset Dataset::apply(const std::function<Dataset(const Dataset&)>& change) const {
  if (!change) throw invalid_argument("apply: expected a function, found an empty one");
  return change(*this);
}
uint64_t Dataset::fingerprint() const { return node_->fingerprint(); }

void Dataset::reduce(Element& total,
                     const std::function<void(Element&, const Element&)>& add) const {
  if (cardinality() == kInfinite) {
    throw invalid_argument("reduce: the data set is endless; call take(count) on it");
  }
  Iterator all = iterator();
  for (Element element; all.next(element);) add(total, element);
}

Element Dataset::get_single_element() const {
  Iterator all = iterator();
  Element element, second;
  if (!all.next(element)) {
    throw invalid_argument("get_single_element: the data set has no element");
  }
  if (all.next(second)) {
    throw invalid_argument("get_single_element: the data set has more than one element");
  }
  return element;
}

const ElementSpec& Dataset::element_spec() const { return node_->spec(); }
int64_t Dataset::cardinality() const { return node_->size(); }
Iterator Dataset::iterator() const { return Iterator(node_); }

Dataset from_element(const Element& element, const std::vector<std::string>& names) {
  if (element.size() != names.size()) {
    throw invalid_argument("from_element: expected a name a tensor, found ", element.size(),
                           " tensors and ", names.size(), " names");
  }
  ElementSpec spec;
  for (size_t i = 0; i < element.size(); ++i) {
    if (!element[i].defined() || !element[i].on_host()) {
      throw invalid_argument("from_element: component \"", names[i], "\" must be a host tensor");
    }
    spec.push_back({names[i], element[i].dtype(), element[i].shape()});
  }
  return from_function(std::move(spec), 1,
                       [element](int64_t, Element& out) { copy_element(element, out); });
}

Dataset range(int64_t start, int64_t stop, int64_t step) {
  if (step == 0) throw invalid_argument("range: expected a step that is not 0");
  int64_t distance = 0, size = 0;
  if (__builtin_sub_overflow(stop, start, &distance) || distance == INT64_MIN) {
    throw invalid_argument("range: ", start, " to ", stop, " has more than 2^63 numbers");
  }
  if ((distance > 0) == (step > 0) && distance != 0) {
    size = distance / step + (distance % step != 0 ? 1 : 0);
  }
  Dataset all = numbers(size, [start, step](int64_t index) { return start + index * step; });
  return all;
}

Dataset counter(int64_t start, int64_t step) {
  return numbers(kInfinite,
                 [start, step](int64_t index) { return scaled_position(index, step, start); });
}

Dataset random(uint64_t seed) {
  return numbers(kInfinite, [seed](int64_t index) {
    const PhiloxBlock block = philox(seed, hash_name("random"), static_cast<uint64_t>(index));
    return static_cast<int64_t>(((uint64_t{block[1]} << 32) | block[0]) >> 1);
  });
}

Dataset list_files(const std::string& pattern) {
  glob_t found{};
  const int status = ::glob(pattern.c_str(), 0, nullptr, &found);
  std::vector<std::string> files(found.gl_pathv, found.gl_pathv + found.gl_pathc);
  ::globfree(&found);
  if (status != 0) throw not_found("list_files: no file matches ", pattern);
  return from_tensors({Tensor::from<std::string>({static_cast<int64_t>(files.size())}, files)},
                      {"file"});
}

Dataset zip(const std::vector<Dataset>& datasets) { return Dataset(make_zip(nodes_of(datasets))); }
Dataset sample_from_datasets(const std::vector<Dataset>& datasets, SampleOptions options) {
  return Dataset(make_sample(nodes_of(datasets), std::move(options)));
}
Dataset choose_from_datasets(const std::vector<Dataset>& datasets, const Dataset& choice,
                             bool stop_on_empty) {
  return Dataset(make_choose(nodes_of(datasets), choice.node(), stop_on_empty));
}

}  // namespace trireme::data
