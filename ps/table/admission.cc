#include "ps/table/admission.h"

#include "core/base/philox.h"

namespace trireme::ps {

Admission::Admission(const TableSpec& spec)
    : after_(spec.is_dense() ? 1 : spec.admission.after),
      probability_(spec.is_dense() ? 1 : spec.admission.probability),
      random_key_(hash_name(spec.name)) {}

bool Admission::admit(int64_t key, int64_t step) {
  if (admits_all()) return true;
  uint32_t row = waiting_.find(key);
  const int64_t sighting = row == kNoRow ? 1 : waiting_.store().header(row).frequency + 1;
  const PhiloxBlock words =
      philox(random_key_, static_cast<uint64_t>(sighting), static_cast<uint64_t>(key));
  if (sighting >= after_ && static_cast<double>(uniform_float(words[0])) < probability_) {
    if (row != kNoRow) waiting_.remove(row);
    return true;
  }
  if (row == kNoRow) {
    row = waiting_.add(key);
  } else {
    waiting_.store().before_write(row);
  }
  waiting_.store().header(row) = {key, step, sighting};
  return false;
}

void Admission::forget(int64_t key) {
  const uint32_t row = waiting_.find(key);
  if (row != kNoRow) waiting_.remove(row);
}

}  // namespace trireme::ps
