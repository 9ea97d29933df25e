// A protobuf message with one thing wrong: the values at which arithmetic and indices go wrong.
#pragma once

#include <google/protobuf/message.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <vector>

namespace trireme::testing {

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

}  // namespace trireme::testing
