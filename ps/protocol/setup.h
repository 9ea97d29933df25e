// Tables as they travel in a Setup of proto/ps.proto.
//
// Any thread. The messages are only named here: who includes this does not include protobuf.
#pragma once

#include <string>
#include <vector>

#include "ps/table/table_spec.h"

namespace trireme::ps {

namespace proto {
class Setup;
class Table;
}  // namespace proto

// Throws Error{kInvalidArgument} for an attribute of the update that has no place in the message (a
// shape, a tensor).
void to_proto(const TableSpec& table, proto::Table& message);

// `ops`: as UpdateSpec::ops. Throws Error{kInvalidArgument} naming the table and the field that is
// out of bounds.
TableSpec from_proto(const proto::Table& message, std::shared_ptr<const OpTable> ops = nullptr);

// All tables of a job. Throws as from_proto(), and for two of one name, or more than kMostTables.
inline constexpr int kMostTables = 1 << 16;
std::vector<TableSpec> tables_of(const proto::Setup& setup,
                                 const std::shared_ptr<const OpTable>& ops = nullptr);

// What a second worker wants otherwise than the first did: "table \"e\": dim 8, not 16"; empty:
// nothing.
std::string difference(const proto::Setup& first, const proto::Setup& second);

}  // namespace trireme::ps
