#include "worker/sha256.h"

#include <openssl/evp.h>

#include <array>
#include <fstream>
#include <memory>
#include <vector>

#include "core/base/error.h"

namespace trireme {

std::string sha256_of_file(const std::string& path) {
  constexpr size_t kChunk = 1 << 20;
  std::ifstream in(path, std::ios::binary);
  if (!in) throw not_found(path, ": it cannot be opened");
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(),
                                                                        EVP_MD_CTX_free);
  TRIREME_CHECK(context && EVP_DigestInit_ex(context.get(), EVP_sha256(), nullptr) == 1,
                "no SHA-256 in this OpenSSL");
  std::vector<char> chunk(kChunk);
  while (in) {
    in.read(chunk.data(), kChunk);
    TRIREME_CHECK(
        EVP_DigestUpdate(context.get(), chunk.data(), static_cast<size_t>(in.gcount())) == 1,
        "SHA-256");
  }
  if (!in.eof()) throw failed(path, ": it cannot be read to its end");
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned int size = 0;
  TRIREME_CHECK(EVP_DigestFinal_ex(context.get(), digest.data(), &size) == 1, "SHA-256");
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  for (unsigned int i = 0; i < size; ++i) {
    text += kDigits[digest[i] >> 4];
    text += kDigits[digest[i] & 15];
  }
  return text;
}

}  // namespace trireme
