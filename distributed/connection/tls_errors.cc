#include "distributed/connection/tls_errors.h"

#include <openssl/sslerr.h>

#include "distributed/connection/certificate_text.h"

namespace trireme {
namespace {

std::string where_from(const TlsIdentity& own) {
  return own.source.empty() ? "" : " (" + own.source + ")";
}

// Of this task's own certificate, which the peer does not believe.
Error refused(const TlsPeer& peer, const TlsIdentity& own, int alert) {
  X509* const certificate = own.certificate();
  const std::string start =
      str_cat("TLS: ", peer.address, " refuses this task's certificate", where_from(own));
  // It may differ from the peer's clock, which decided.
  if (alert == SSL_AD_CERTIFICATE_EXPIRED || has_expired(certificate)) {
    return invalid_argument(start, ": it has expired, on ",
                            date_text(X509_get0_notAfter(certificate)), "; renew it");
  }
  if (is_not_yet_valid(certificate)) {
    return invalid_argument(start, ": it is valid only from ",
                            date_text(X509_get0_notBefore(certificate)), ", and it is ", now_text(),
                            " now; set the clocks of both hosts, or wait");
  }
  if (alert == SSL_AD_UNKNOWN_CA || alert == SSL_AD_DECRYPT_ERROR) {
    if (own.of_job) {
      return invalid_argument(start, ", which was made from this task's secret (",
                              issuer_of(certificate),
                              "): its secret is another, or it has certificates in files; start "
                              "all tasks with the same secret and the same --tls-ca");
    }
    return invalid_argument(start, ", issued by ", issuer_of(certificate),
                            ": it believes other authorities; give all tasks the same --tls-ca");
  }
  if (alert == SSL_AD_BAD_CERTIFICATE) {
    return invalid_argument(start, ", which is for ", names_of(certificate), " from ",
                            date_text(X509_get0_notBefore(certificate)), " to ",
                            date_text(X509_get0_notAfter(certificate)),
                            ": it expects another name or date; its log says which; give this task "
                            "a certificate with the name by which others reach it");
  }
  return invalid_argument(start, ", which is for ", names_of(certificate), ", issued by ",
                          issuer_of(certificate), ": ", SSL_alert_desc_string_long(alert));
}

}  // namespace

Error verification_error(const TlsPeer& peer, const TlsIdentity& own) {
  const std::string start =
      str_cat("TLS: the certificate of ", peer.address, ", for ", peer.names, ", ");
  switch (peer.verification) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
      return invalid_argument(start, "has expired, on ", peer.until, ", and it is ", now_text(),
                              " now; renew it there");
    case X509_V_ERR_CERT_NOT_YET_VALID:
      return invalid_argument(start, "is valid only from ", peer.from, ", and it is ", now_text(),
                              " now; set the clocks of both hosts, or wait");
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH: {
      const bool named = !own.expected_name.empty();
      return invalid_argument(
          start, "does not have the name ", named ? own.expected_name : peer.dialled,
          named ? " that --tls-name asks of every task" : " by which it was reached",
          named ? "; correct that, or give it another certificate"
                : "; reach it by a name that it has, give it another "
                  "certificate, or give all tasks --tls-name");
    }
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_CERT_SIGNATURE_FAILURE:
    case X509_V_ERR_INVALID_CA:
      if (own.of_job) {
        return invalid_argument(start, "was issued by ", peer.issuer, ", expected ",
                                own.authorities,
                                ": its secret is not that of this job, or it has certificates in "
                                "files; start all tasks with the same secret and the same "
                                "--tls-ca");
      }
      return invalid_argument(start, "was issued by ", peer.issuer, ", expected ", own.authorities,
                              "; give all tasks the same --tls-ca, and certificates by it");
    case X509_V_ERR_INVALID_PURPOSE:
      return invalid_argument(start, "is not for ", peer.is_server ? "servers" : "clients",
                              "; every task is both: give it one whose extended key usage is "
                              "serverAuth and clientAuth, or not restricted");
    default:
      return invalid_argument(start, "issued by ", peer.issuer, ", is not to be trusted: ",
                              X509_verify_cert_error_string(peer.verification));
  }
}

bool is_alert(unsigned long code) {
  return ERR_GET_LIB(code) == ERR_LIB_SSL && ERR_GET_REASON(code) >= SSL_AD_REASON_OFFSET &&
         ERR_GET_REASON(code) < SSL_AD_REASON_OFFSET + 256;
}

Error handshake_error(const TlsPeer& peer, const TlsIdentity& own, unsigned long code) {
  if (peer.verification != 0) return verification_error(peer, own);
  const int reason = ERR_GET_REASON(code);
  if (is_alert(code)) {
    const int alert = reason - SSL_AD_REASON_OFFSET;
    if (alert == SSL_AD_PROTOCOL_VERSION) {
      return invalid_argument("TLS: ", peer.address,
                              " speaks no TLS 1.3, or was started with --tls off; start all tasks "
                              "of a job with one version of Trireme and the same --tls");
    }
    const bool certificate = (alert >= SSL_AD_BAD_CERTIFICATE && alert <= SSL_AD_ACCESS_DENIED) ||
                             alert == SSL_AD_DECRYPT_ERROR;
    if (certificate && own.certificate() != nullptr) return refused(peer, own, alert);
    return invalid_argument("TLS: ", peer.address,
                            " breaks the handshake off: ", SSL_alert_desc_string_long(alert));
  }
  switch (reason) {
    case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
      return invalid_argument("TLS: ", peer.address,
                              " shows no certificate, which every task has; it is no task of "
                              "Trireme, or one that was started with other options of --tls");
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_WRONG_SSL_VERSION:
    case SSL_R_UNKNOWN_PROTOCOL:
    case SSL_R_NO_PROTOCOLS_AVAILABLE:
      return invalid_argument("TLS: ", peer.address,
                              " offers an older version of TLS, expected 1.3; it is no task of "
                              "Trireme, or its OpenSSL is too old");
    default:
      return invalid_argument("TLS: the handshake with ", peer.address, " failed: ",
                              ERR_reason_error_string(code) == nullptr
                                  ? "its bytes make no sense"
                                  : ERR_reason_error_string(code));
  }
}

Error no_tls_error(const TlsPeer& peer, const std::string& first_bytes) {
  std::string shown;
  for (const char byte : first_bytes) shown += byte >= ' ' && byte < 0x7f ? byte : '.';
  return invalid_argument("TLS: ", peer.address, " does not speak TLS (it sent \"", shown,
                          "\"): it was started with --tls off, or is no task of Trireme; start "
                          "all tasks of a job with the same --tls");
}

Error closed_error(const TlsPeer& peer, const std::string& how) {
  return {
      ErrorCode::kUnavailable,
      str_cat("TLS: ", peer.address, " ", how,
              " in the handshake; its log may say why, and with --tls off it closes like this")};
}

}  // namespace trireme
