// Valid messages with one thing wrong: each number of a header or of a protobuf message takes the
// values at which arithmetic and indices go wrong, and each message is cut and made longer.
#pragma once

#include <google/protobuf/message.h>

#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "ps/protocol/wire.h"

namespace trireme::ps::testing {

inline const std::vector<int64_t>& boundary_values() {
  static const std::vector<int64_t> values = {
      -1,
      0,
      1,
      3,
      4,
      64,
      int64_t{1} << 16,
      int64_t{std::numeric_limits<int32_t>::max()},
      int64_t{1} << 31,
      int64_t{1} << 40,
      (int64_t{1} << 40) + 1,
      (int64_t{1} << 57) + 1,
      std::numeric_limits<int64_t>::max() - 1,
      std::numeric_limits<int64_t>::max(),
      std::numeric_limits<int64_t>::min(),
  };
  return values;
}

using Visit = std::function<void(const std::vector<std::byte>&)>;

// Numbers of `width` bytes in [begin, end) of the message.
inline void mutate_numbers(const std::vector<std::byte>& message, size_t begin, size_t end,
                           size_t width, const Visit& visit) {
  for (size_t at = begin; at + width <= std::min(end, message.size()); at += width) {
    for (const int64_t value : boundary_values()) {
      std::vector<std::byte> bytes = message;
      std::memcpy(bytes.data() + at, &value, width);
      if (bytes != message) visit(bytes);
    }
    // No number at all, where it is one of floating point.
    std::vector<std::byte> bytes = message;
    const double none = std::numeric_limits<double>::quiet_NaN();
    const auto none_f = std::numeric_limits<float>::quiet_NaN();
    std::memcpy(bytes.data() + at, width == 8 ? static_cast<const void*>(&none) : &none_f, width);
    visit(bytes);
  }
}

// Shorter and longer than it says.
inline void mutate_length(const std::vector<std::byte>& message, const Visit& visit) {
  for (const size_t cut : {size_t{1}, size_t{4}, size_t{8}, size_t{40}, message.size() / 2}) {
    if (cut == 0 || cut > message.size()) continue;
    visit({message.begin(), message.end() - static_cast<std::ptrdiff_t>(cut)});
  }
  for (const size_t more : {1, 7, 8, 64}) {
    std::vector<std::byte> bytes = message;
    bytes.resize(bytes.size() + more, std::byte{0x5a});
    visit(bytes);
  }
}

// Every field of a message, and of the messages in it, in turn: numbers, texts, and how many there
// are of it.
template <typename Root>
void mutate_fields(Root& root, google::protobuf::Message& message, int depth,
                   const std::function<void(const Root&)>& visit) {
  using google::protobuf::FieldDescriptor;
  const auto* const type = message.GetDescriptor();
  const auto* const access = message.GetReflection();
  for (int f = 0; f < type->field_count(); ++f) {
    const FieldDescriptor* const field = type->field(f);
    const int count = field->is_repeated()               ? access->FieldSize(message, field)
                      : access->HasField(message, field) ? 1
                                                         : 0;
    if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
      for (int i = 0; depth > 0 && i < std::min(count, 2); ++i) {
        auto* const inner = field->is_repeated()
                                ? access->MutableRepeatedMessage(&message, field, i)
                                : access->MutableMessage(&message, field);
        mutate_fields(root, *inner, depth - 1, visit);
      }
    }
    if (field->is_repeated() && count > 0) {
      const std::unique_ptr<google::protobuf::Message> before(message.New());
      before->CopyFrom(message);
      access->RemoveLast(&message, field);
      visit(root);
      message.CopyFrom(*before);
      access->ClearField(&message, field);
      visit(root);
      message.CopyFrom(*before);
    }
    if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE || field->containing_oneof())
      continue;
    const std::unique_ptr<google::protobuf::Message> before(message.New());
    before->CopyFrom(message);
    const auto with = [&](auto set, auto add) {
      if (!field->is_repeated()) {
        set();
        visit(root);
        message.CopyFrom(*before);
        return;
      }
      add();
      visit(root);
      message.CopyFrom(*before);
    };
    // The first of several in place, then one more.
    const auto numbers = [&](auto set_first, auto set, auto add) {
      for (const int64_t value : boundary_values()) {
        if (field->is_repeated() && count > 0) {
          set_first(value);
          visit(root);
          message.CopyFrom(*before);
        }
        with([&] { set(value); }, [&] { add(value); });
      }
    };
    switch (field->cpp_type()) {
      case FieldDescriptor::CPPTYPE_INT32:
        numbers(
            [&](int64_t v) { access->SetRepeatedInt32(&message, field, 0, static_cast<int>(v)); },
            [&](int64_t v) { access->SetInt32(&message, field, static_cast<int>(v)); },
            [&](int64_t v) { access->AddInt32(&message, field, static_cast<int>(v)); });
        break;
      case FieldDescriptor::CPPTYPE_INT64:
        numbers([&](int64_t v) { access->SetRepeatedInt64(&message, field, 0, v); },
                [&](int64_t v) { access->SetInt64(&message, field, v); },
                [&](int64_t v) { access->AddInt64(&message, field, v); });
        break;
      case FieldDescriptor::CPPTYPE_UINT64:
        numbers(
            [&](int64_t v) {
              access->SetRepeatedUInt64(&message, field, 0, static_cast<uint64_t>(v));
            },
            [&](int64_t v) { access->SetUInt64(&message, field, static_cast<uint64_t>(v)); },
            [&](int64_t v) { access->AddUInt64(&message, field, static_cast<uint64_t>(v)); });
        break;
      case FieldDescriptor::CPPTYPE_DOUBLE:
        for (const double value : {-1.0, 0.0, 1e300, std::nan(""), HUGE_VAL}) {
          with([&] { access->SetDouble(&message, field, value); },
               [&] { access->AddDouble(&message, field, value); });
        }
        break;
      case FieldDescriptor::CPPTYPE_BOOL:
        for (const bool value : {false, true}) {
          with([&] { access->SetBool(&message, field, value); },
               [&] { access->AddBool(&message, field, value); });
        }
        break;
      case FieldDescriptor::CPPTYPE_ENUM:
        for (const int value : {-1, 3, 1 << 30}) {
          with([&] { access->SetEnumValue(&message, field, value); },
               [&] { access->AddEnumValue(&message, field, value); });
        }
        break;
      case FieldDescriptor::CPPTYPE_STRING:
        for (const std::string& value :
             {std::string("x"), std::string(5000, 'y'), std::string("\0/../", 5)}) {
          with([&] { access->SetString(&message, field, value); },
               [&] { access->AddString(&message, field, value); });
        }
        break;
      default:
        break;
    }
  }
}

}  // namespace trireme::ps::testing
