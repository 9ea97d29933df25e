#include "worker/job_text.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/io/tokenizer.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/message.h>

#include <limits>
#include <memory>
#include <string>

#include "core/base/error.h"
#include "core/base/suggest.h"
#include "core/catalog/catalog.h"
#include "worker/field_setter.h"
#include "worker/job_schema.h"

namespace trireme {
namespace {

namespace pb = google::protobuf;
using pb::io::Tokenizer;

constexpr int kMaxDepth = 40;  // a job is not deep; hostile text may be

class Parser : public pb::io::ErrorCollector {
 public:
  Parser(const JobSchema& schema, std::string_view text, const JobTextOptions& options)
      : schema_(schema),
        options_(options),
        input_(text.data(), static_cast<int>(text.size())),
        tokens_(std::make_unique<Tokenizer>(&input_, this)) {
    tokens_->set_comment_style(Tokenizer::SH_COMMENT_STYLE);
    tokens_->set_allow_f_after_float(true);
    tokens_->set_require_space_after_number(false);
    tokens_->set_allow_multiline_strings(true);
    next();
  }

  void parse(pb::Message& message) {
    while (token().type != Tokenizer::TYPE_END) field(message, "");
  }

 private:
  // --- tokens

  const Tokenizer::Token& token() const { return tokens_->current(); }
  void next() {
    tokens_->Next();
    if (!broken_.empty()) fail(broken_line_, broken_column_, broken_);
  }
  // Of what is no token; the first one counts.
  void AddError(int line, int column, const std::string& message) override {
    if (!broken_.empty()) return;
    broken_ = message;
    broken_line_ = line;
    broken_column_ = column;
  }
  void AddWarning(int, int, const std::string&) override {}

  std::string place(int line, int column) const {
    if (options_.name.empty()) return str_cat("character ", column + 1, ": ");
    return str_cat(options_.name, ":", line + 1, ":", column + 1, ": ");
  }
  std::string here() const { return place(token().line, token().column); }
  [[noreturn]] void fail(int line, int column, std::string_view message) const {
    throw invalid_argument(place(line, column), message);
  }
  [[noreturn]] void fail(std::string_view expected) const {
    fail(token().line, token().column,
         str_cat("expected ", expected, ", found ",
                 token().type == Tokenizer::TYPE_END ? "the end"
                                                     : "'" + printable(token().text) + "'"));
  }
  bool is(std::string_view symbol) const {
    return token().type == Tokenizer::TYPE_SYMBOL && token().text == symbol;
  }
  bool take(std::string_view symbol) {
    if (!is(symbol)) return false;
    next();
    return true;
  }
  void expect(std::string_view symbol) {
    if (!take(symbol)) fail(str_cat("'", symbol, "'"));
  }
  void note(const std::string& path) {
    if (options_.places != nullptr) {
      (*options_.places)[path] = {token().line + 1, token().column + 1};
    }
  }

  // --- fields

  void field(pb::Message& message, const std::string& prefix) {
    if (token().type != Tokenizer::TYPE_IDENTIFIER) fail("a field's name");
    const pb::Descriptor& type = *message.GetDescriptor();
    const std::string name = token().text;
    const pb::FieldDescriptor* const found = type.FindFieldByName(name);
    if (found == nullptr) {
      if (!options_.skips_unknown) {
        fail(token().line, token().column, no_such_field(type, name));
      }
      next();
      take(":");
      skip_value(0);
    } else {
      known_field(message, *found, prefix + name);
    }
    if (!take(",")) take(";");
  }

  void known_field(pb::Message& message, const pb::FieldDescriptor& field,
                   const std::string& name) {
    const pb::Reflection& reflection = *message.GetReflection();
    if (!field.is_repeated()) {
      if (reflection.HasField(message, &field)) {
        fail(token().line, token().column, name + ": stands here a second time");
      }
      const pb::OneofDescriptor* const choice = field.real_containing_oneof();
      if (choice != nullptr && reflection.HasOneof(message, choice)) {
        fail(token().line, token().column,
             str_cat(name, ": there is '",
                     reflection.GetOneofFieldDescriptor(message, choice)->name(), "' already, and ",
                     message.GetDescriptor()->name(), " has one of them"));
      }
    }
    const bool is_message = field.cpp_type() == pb::FieldDescriptor::CPPTYPE_MESSAGE;
    note(path_of(message, field, name));
    next();
    const bool colon = take(":");
    if (!colon && !is_message) fail("':'");
    if (!field.is_repeated() || !is("[")) return value(message, field, name, colon);
    next();
    if (take("]")) return;
    do {
      note(path_of(message, field, name));
      value(message, field, name, true);
    } while (take(","));
    expect("]");
  }

  // Of the element that comes next, where it is a list.
  static std::string path_of(const pb::Message& message, const pb::FieldDescriptor& field,
                             const std::string& name) {
    if (!field.is_repeated()) return name;
    return str_cat(name, "[", message.GetReflection()->FieldSize(message, &field), "]");
  }

  // `colon`: a name may stand for a component here.
  void value(pb::Message& message, const pb::FieldDescriptor& field, const std::string& name,
             bool colon) {
    const std::string path = path_of(message, field, name);
    FieldSetter setter(schema_, message, field, here() + path);
    if (field.cpp_type() != pb::FieldDescriptor::CPPTYPE_MESSAGE) return scalar(setter, field);
    const bool is_family = schema_.family_of(*field.message_type()) != nullptr;
    if (is_family && colon && token().type == Tokenizer::TYPE_IDENTIFIER) {
      if (options_.skips_unknown &&
          schema_.family_of(*field.message_type())->find_or_null(token().text) == nullptr) {
        return next();
      }
      setter.set_component(token().text, -1);
      return next();
    }
    const char* const end = is("<") ? ">" : "}";
    if (!take("{") && !take("<")) fail(is_family ? "'{' or a name" : "'{'");
    if (++depth_ > kMaxDepth) {
      fail(token().line, token().column, str_cat("more than ", kMaxDepth, " messages in another"));
    }
    pb::Message& nested = setter.message(-1);
    while (!is(end)) {
      if (token().type == Tokenizer::TYPE_END) fail(str_cat("'", end, "'"));
      this->field(nested, path + ".");
    }
    --depth_;
    next();
  }

  // As text that FieldSetter understands.
  void scalar(FieldSetter& setter, const pb::FieldDescriptor& field) {
    if (field.cpp_type() == pb::FieldDescriptor::CPPTYPE_STRING) {
      if (token().type != Tokenizer::TYPE_STRING) setter.refuse("a text in quotes", token().text);
      std::string text;
      for (; token().type == Tokenizer::TYPE_STRING; next()) {
        Tokenizer::ParseStringAppend(token().text, &text);
      }
      return setter.set(text, -1);
    }
    std::string text;
    if (is("-")) {
      text = "-";
      next();
    }
    const bool floating = field.cpp_type() == pb::FieldDescriptor::CPPTYPE_DOUBLE ||
                          field.cpp_type() == pb::FieldDescriptor::CPPTYPE_FLOAT;
    std::string digits = token().text;
    if (token().type == Tokenizer::TYPE_INTEGER && !floating) {
      uint64_t number = 0;  // it may be octal or hexadecimal
      if (Tokenizer::ParseInteger(digits, std::numeric_limits<uint64_t>::max(), &number)) {
        digits = std::to_string(number);
      }
    } else if (token().type == Tokenizer::TYPE_INTEGER && digits.size() > 1 && digits[0] == '0') {
      setter.refuse("a decimal number", text + digits);
    } else if (token().type == Tokenizer::TYPE_FLOAT && floating) {
      if (digits.ends_with('f') || digits.ends_with('F')) digits.pop_back();
    } else if (token().type == Tokenizer::TYPE_SYMBOL || token().type == Tokenizer::TYPE_END) {
      fail("a value");
    }
    try {
      setter.set(text + digits, -1);
    } catch (const Error&) {
      const bool is_enum = field.cpp_type() == pb::FieldDescriptor::CPPTYPE_ENUM;
      if (!is_enum || !options_.skips_unknown) throw;
    }
    next();
  }

  // --- what is not known

  void skip_value(int depth) {
    if (depth > kMaxDepth) fail("fewer messages in another");
    if (is("{") || is("<")) {
      const char* const end = is("<") ? ">" : "}";
      next();
      while (!take(end)) {
        if (token().type != Tokenizer::TYPE_IDENTIFIER) fail("a field's name");
        next();
        take(":");
        skip_value(depth + 1);
        if (!take(",")) take(";");
      }
    } else if (take("[")) {
      while (!take("]")) {
        skip_value(depth + 1);
        take(",");
      }
    } else if (token().type == Tokenizer::TYPE_STRING) {
      while (token().type == Tokenizer::TYPE_STRING) next();
    } else {
      take("-");
      if (token().type == Tokenizer::TYPE_SYMBOL || token().type == Tokenizer::TYPE_END) {
        fail("a value");
      }
      next();
    }
  }

  const JobSchema& schema_;
  const JobTextOptions& options_;
  pb::io::ArrayInputStream input_;
  std::string broken_;
  int broken_line_ = 0, broken_column_ = 0, depth_ = 0;
  std::unique_ptr<Tokenizer> tokens_;
};

}  // namespace

void parse_job_text(const JobSchema& schema, std::string_view text, const JobTextOptions& options,
                    pb::Message& message) {
  Parser(schema, text, options).parse(message);
}

}  // namespace trireme
