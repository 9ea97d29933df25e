// TensorFlow's framing of records of bytes, as TFRecord and event files have it: the length (u64),
// the masked CRC-32C of the length (u32), the bytes, and their masked CRC-32C (u32), little-endian.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace trireme::io {

inline constexpr uint64_t kMaxRecordBytes = uint64_t{256} << 20;
inline constexpr size_t kRecordHeaderBytes = 12, kRecordFooterBytes = 4;

// The length that a record's header says. Throws Error{kDataLoss} without a place when its checksum
// does not fit, or it is more than `max_bytes`. REQUIRES: header.size() == kRecordHeaderBytes.
uint64_t record_length(std::span<const uint8_t> header, uint64_t max_bytes);
// Whether `header` is one, by its checksum.
bool is_record_header(std::span<const uint8_t> header);
// Throws Error{kDataLoss} without a place when `footer` is not the checksum of `record`.
void check_record(std::string_view record, const uint8_t* footer);

// Writes the header of a record of so many bytes.
void put_record_header(char* out, uint64_t length);
// Appends the header of a record, and its footer.
void append_record_header(std::string& out, std::string_view record);
void append_record_footer(std::string& out, std::string_view record);
// Makes a frame of out[begin + kRecordHeaderBytes, end), of which the first bytes are not used yet.
void close_record(std::string& out, size_t begin);

}  // namespace trireme::io
