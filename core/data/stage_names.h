// What tf.data.Dataset's methods are called here: one table, from which the documents for those
// who come from Keras are made.
#pragma once

#include <string_view>

namespace trireme::data {

struct StageName {
  std::string_view tf_data;  // the method of tf.data.Dataset
  std::string_view ours;     // of data::Dataset, or a function of data; empty: there is none
  std::string_view note;     // how it differs; why there is none
};

inline constexpr StageName kStageNames[] = {
    {"apply", "apply", ""},
    {"as_numpy_iterator", "iterator", "elements are tensors in memory"},
    {"batch", "batch", "`batch_part` is one worker's part of each"},
    {"bucket_by_sequence_length", "bucket_by_sequence_length",
     "the length is a component's first axis"},
    {"cache", "cache", "in memory, or in a file"},
    {"cardinality", "cardinality", ""},
    {"choose_from_datasets", "choose_from_datasets", ""},
    {"concatenate", "concatenate", ""},
    {"counter", "counter", ""},
    {"element_spec", "element_spec", "a name, a type and a shape a component"},
    {"enumerate", "enumerate", "the number is a component in front"},
    {"filter", "filter", ""},
    {"fingerprint", "fingerprint", "of components, sizes, seeds and stages; functions are no part"},
    {"flat_map", "flat_map", ""},
    {"from_generator", "from_generator", "`from_stream` is one that can say where it is"},
    {"from_tensor_slices", "from_tensors", "also `from_columns`, which scales on the way"},
    {"from_tensors", "from_element", "one element"},
    {"get_single_element", "get_single_element", ""},
    {"group_by_window", "group_by_window", "a window becomes one padded batch"},
    {"ignore_errors", "ignore_errors", "behind stages that can be read in any order"},
    {"interleave", "interleave", "`prefetch` reads each data set ahead on a thread of its own"},
    {"list_files", "list_files", "sorted; shuffle() follows"},
    {"load", "load", ""},
    {"map", "map", "`threads` 0, a number, or kAuto"},
    {"options", "", "order never depends on threads, there is nothing to set"},
    {"padded_batch", "padded_batch", "`lengths` adds the sizes before padding"},
    {"prefetch", "prefetch", ""},
    {"ragged_batch", "", "there are no ragged tensors; padded_batch() with `lengths`"},
    {"random", "random", "i64 in [0, 2^63)"},
    {"range", "range", ""},
    {"rebatch", "rebatch", ""},
    {"reduce", "reduce", ""},
    {"rejection_resample", "rejection_resample", "gives the elements without their classes"},
    {"repeat", "repeat", ""},
    {"sample_from_datasets", "sample_from_datasets", ""},
    {"save", "save", ""},
    {"scan", "scan", ""},
    {"shard", "shard", ""},
    {"shuffle", "shuffle", "of all elements; with a block size within blocks, for streams"},
    {"skip", "skip", ""},
    {"snapshot", "snapshot", "written at once, to one file"},
    {"sparse_batch", "", "there are no sparse tensors; padded_batch() with `lengths`"},
    {"take", "take", ""},
    {"take_while", "take_while", ""},
    {"unbatch", "unbatch", ""},
    {"unique", "unique", ""},
    {"window", "window", "a window is an element of stacked tensors, not a data set"},
    {"with_options", "", "order never depends on threads, there is nothing to set"},
    {"zip", "zip", "names must differ: rename()"},
};

// Methods and functions that tf.data has not, or has elsewhere.
inline constexpr std::string_view kOwnStages[] = {
    "batch_part",   "rename",      "element_spec",  "node",
    "from_columns", "from_stream", "from_examples", "from_function",
};

}  // namespace trireme::data
