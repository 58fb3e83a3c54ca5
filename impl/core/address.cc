#include "core/address.h"

#include <sys/un.h>

#include <algorithm>
#include <charconv>
#include <cstdint>

#include "api/status.h"

namespace crucible {
namespace {

constexpr std::string_view kLoopback = "127.0.0.1";
// One byte of sun_path ends a path, or begins an abstract name.
constexpr std::size_t kLongestName = sizeof(sockaddr_un::sun_path) - 1;
constexpr std::size_t kLongestHost = 253;  // RFC 1035, as text

[[noreturn]] void refuse(std::string_view text, const char* why) {
  constexpr std::size_t kShown = 200;
  throw BadArgument("address '" + std::string(text.substr(0, kShown)) + "': " + why);
}

Place parse_local(std::string_view text, std::string_view rest) {
  if (rest.empty()) return {.kind = Place::Kind::kAbstract, .name = {}, .host = {}, .port = {}};
  if (rest.find('\0') != std::string_view::npos) refuse(text, "it holds a NUL");
  const bool is_abstract = rest.front() == '@';
  if (!is_abstract && rest.front() != '/') refuse(text, "neither an absolute path nor @name");
  const std::string_view name = is_abstract ? rest.substr(1) : rest;
  if (name.empty()) refuse(text, "no name behind the @");
  if (!is_abstract && name.back() == '/') refuse(text, "a directory");
  if (name.size() > kLongestName) refuse(text, "the name is too long for a socket");
  return {.kind = is_abstract ? Place::Kind::kAbstract : Place::Kind::kPath,
          .name = std::string(name),
          .host = {},
          .port = {}};
}

Place parse_tcp(std::string_view text, std::string_view rest) {
  if (rest.empty()) rest = ":0";
  const std::size_t colon = rest.rfind(':');
  if (colon == std::string_view::npos) refuse(text, "no port");
  std::string_view host = rest.substr(0, colon);
  const std::string_view port = rest.substr(colon + 1);
  std::uint16_t number = 0;
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), number);
  if (error != std::errc() || end != port.data() + port.size()) refuse(text, "the port is no number up to 65535");
  const bool is_bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
  if (is_bracketed) {
    host = host.substr(1, host.size() - 2);
  } else if (host.empty()) {
    host = kLoopback;
  } else if (host.find(':') != std::string_view::npos) {
    refuse(text, "a numeric IPv6 host stands in brackets");
  }
  const bool is_plain =
      std::ranges::all_of(host, [](char c) { return c > ' ' && c < '\x7f' && c != '[' && c != ']' && c != '/'; });
  if (!is_plain || host.size() > kLongestHost) refuse(text, "that is no host");
  return {.kind = Place::Kind::kTcp, .name = {}, .host = std::string(host), .port = std::to_string(number)};
}

}  // namespace

std::string Place::text(std::string_view scheme) const {
  std::string text = std::string(scheme) + ':';
  switch (kind) {
    case Kind::kPath: return text + name;
    case Kind::kAbstract: return text + (name.empty() ? "" : "@") + name;
    case Kind::kTcp: break;
  }
  const bool needs_brackets = host.find(':') != std::string::npos;
  return text + (needs_brackets ? "[" + host + "]" : host) + ":" + port;
}

Place parse_address(std::string_view text, std::string_view scheme, bool tcp) {
  if (!text.starts_with(scheme) || text.substr(scheme.size()).substr(0, 1) != ":") {
    refuse(text, ("it does not begin with '" + std::string(scheme) + ":'").c_str());
  }
  const std::string_view rest = text.substr(scheme.size() + 1);
  return tcp ? parse_tcp(text, rest) : parse_local(text, rest);
}

}  // namespace crucible
