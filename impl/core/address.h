// Addresses of named doors as text: a scheme, a colon, and where.
#pragma once

#include <string>
#include <string_view>

namespace crucible {

/// Where a door is. On one host: a socket file (`unix:/run/app.sock`), a name of the abstract namespace, which leaves
/// nothing behind (`unix:@app`), or, for listeners, an abstract name that the system chooses (`unix:`). By TCP:
/// `tcp:host:port`, `tcp:[v6]:port`; without a host 127.0.0.1; for listeners port 0, or nothing at all, is a free port.
struct Place {
  enum class Kind { kPath, kAbstract, kTcp };
  Kind kind;
  std::string name;  ///< the path, or the abstract name without its @; empty: to be chosen
  std::string host;  ///< of TCP, without brackets
  std::string port;  ///< of TCP, decimal

  /// Whether the system is to choose a part.
  bool is_open() const { return kind == Kind::kTcp ? port == "0" : name.empty(); }
  /// The address that parse_address() reads as this.
  std::string text(std::string_view scheme) const;
};

/// Throws BadArgument for another scheme, a relative or too long path, an impossible port, and any other text.
Place parse_address(std::string_view text, std::string_view scheme, bool tcp);

}  // namespace crucible
