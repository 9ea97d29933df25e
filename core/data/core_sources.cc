// What `data { … }` of a job file may name, a line a source: the function beside its class.
#include "core/data/source.h"

namespace trireme::data {

using AddSource = void(Catalog<Source>&);

void register_core_sources(Catalog<Source>& catalog) {
  // clang-format off
  { extern AddSource add_digits; add_digits(catalog); }
  { extern AddSource add_mnist; add_mnist(catalog); }
  { extern AddSource add_cifar10; add_cifar10(catalog); }
  { extern AddSource add_csv; add_csv(catalog); }
  { extern AddSource add_reviews; add_reviews(catalog); }
  { extern AddSource add_clicks; add_clicks(catalog); }
  { extern AddSource add_criteo; add_criteo(catalog); }
  { extern AddSource add_noise; add_noise(catalog); }
  { extern AddSource add_visits; add_visits(catalog); }
  { extern AddSource add_characters; add_characters(catalog); }
  { extern AddSource add_tfrecord; add_tfrecord(catalog); }
  { extern AddSource add_image_folder; add_image_folder(catalog); }
  { extern AddSource add_npy; add_npy(catalog); }
  { extern AddSource add_npz; add_npz(catalog); }
  { extern AddSource add_text_lines; add_text_lines(catalog); }
  { extern AddSource add_series; add_series(catalog); }
  { extern AddSource add_reversal; add_reversal(catalog); }
  // clang-format on
}

}  // namespace trireme::data
