#include "distributed/connection/certificate_text.h"

#include <arpa/inet.h>
#include <openssl/x509v3.h>

#include <array>
#include <cstring>
#include <ctime>

namespace trireme {
namespace {

std::string text_of(const std::tm& time) {
  std::array<char, 64> text{};
  std::strftime(text.data(), text.size(), "%Y-%m-%d %H:%M:%S UTC", &time);
  return text.data();
}

// A peer chose these bytes, and they go to a terminal.
std::string printable(const unsigned char* data, int size) {
  constexpr int kLongest = 256;
  std::string text;
  for (int i = 0; i < size && i < kLongest; ++i) {
    text += data[i] >= ' ' && data[i] < 0x7f ? static_cast<char>(data[i]) : '?';
  }
  return text;
}

std::string address_text(const ASN1_OCTET_STRING* address) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  const int family = ASN1_STRING_length(address) == 4 ? AF_INET : AF_INET6;
  if (family == AF_INET6 && ASN1_STRING_length(address) != 16) return "?";
  inet_ntop(family, ASN1_STRING_get0_data(address), text.data(), text.size());
  return text.data();
}

}  // namespace

std::string date_text(const ASN1_TIME* time) {
  std::tm parts{};
  return ASN1_TIME_to_tm(time, &parts) == 1 ? text_of(parts) : "?";
}

std::string now_text() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  gmtime_r(&now, &parts);
  return text_of(parts);
}

std::string name_text(const X509_NAME* name) {
  const BioPtr bio(BIO_new(BIO_s_mem()));
  if (bio == nullptr || X509_NAME_print_ex(bio.get(), name, 0, XN_FLAG_RFC2253) < 0) return "?";
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  return printable(reinterpret_cast<unsigned char*>(data), static_cast<int>(size));
}

std::string names_of(X509* certificate) {
  constexpr int kMost = 8;
  using Names = std::unique_ptr<GENERAL_NAMES, OpensslFree<GENERAL_NAMES_free>>;
  const Names names(static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
  std::string text;
  const int count = names == nullptr ? 0 : sk_GENERAL_NAME_num(names.get());
  for (int i = 0; i < count && i < kMost; ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names.get(), i);
    if (name->type != GEN_DNS && name->type != GEN_IPADD) continue;
    if (!text.empty()) text += ", ";
    if (name->type == GEN_IPADD) {
      text += address_text(name->d.iPAddress);
    } else {
      text +=
          printable(ASN1_STRING_get0_data(name->d.dNSName), ASN1_STRING_length(name->d.dNSName));
    }
  }
  if (count > kMost) text += " and others";
  return text.empty() ? name_text(X509_get_subject_name(certificate)) : text;
}

std::string issuer_of(X509* certificate) { return name_text(X509_get_issuer_name(certificate)); }

bool has_expired(X509* certificate) {
  return X509_cmp_current_time(X509_get0_notAfter(certificate)) < 0;
}

bool is_not_yet_valid(X509* certificate) {
  return X509_cmp_current_time(X509_get0_notBefore(certificate)) > 0;
}

}  // namespace trireme
