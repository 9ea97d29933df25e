// The language of job files: proto/job.proto, which is the frame, and a message for each family of
// components with one for each of its entries, made at run time from the catalogs.
//
//   optimizer {            # the family `optimizer`
//     adam { beta1: 0.8 }  # one of its entries, with options of its own
//     learning_rate: 0.01  # an option of the whole family
//   }
//
// All fields have presence: what a job file does not say is absent, and a 0 in it is there. Help,
// range and default are options of each field (proto/job_options.proto).
//
// Immutable; any thread. Messages of a schema must not outlive it.
#pragma once

#include <map>
#include <memory>
#include <string>

namespace google::protobuf {
class Descriptor;
class DescriptorPool;
class DynamicMessageFactory;
class Message;
class OneofDescriptor;
}  // namespace google::protobuf

namespace trireme {

class CatalogBase;
namespace nn {
struct Catalogs;
}

class JobSchema {
 public:
  // Throws Error{kInvalidArgument} that names the component whose options make no message: two of
  // one name, say.
  explicit JobSchema(std::shared_ptr<const nn::Catalogs> catalogs);
  ~JobSchema();
  JobSchema(const JobSchema&) = delete;

  const nn::Catalogs& catalogs() const { return *catalogs_; }
  const google::protobuf::Descriptor& job() const { return *job_; }
  // REQUIRES: there is such a family.
  const google::protobuf::Descriptor& family(const CatalogBase& catalog) const;
  // Of a family's message; null: the type is another one.
  const CatalogBase* family_of(const google::protobuf::Descriptor& type) const;

  std::unique_ptr<google::protobuf::Message> new_message(
      const google::protobuf::Descriptor& type) const;
  std::unique_ptr<google::protobuf::Message> new_job() const;

 private:
  std::shared_ptr<const nn::Catalogs> catalogs_;
  std::unique_ptr<google::protobuf::DescriptorPool> pool_;
  std::unique_ptr<google::protobuf::DynamicMessageFactory> factory_;
  const google::protobuf::Descriptor* job_ = nullptr;
  std::map<const google::protobuf::Descriptor*, const CatalogBase*> families_;
};

// That of the components that Trireme has.
std::shared_ptr<const JobSchema> core_job_schema();

// The choice of the entry in a family's message.
const google::protobuf::OneofDescriptor* kind_of(const google::protobuf::Descriptor& family);

}  // namespace trireme
