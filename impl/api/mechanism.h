// The table of mechanisms: what a program that chooses by name, and the conformance suite, hold.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "api/capabilities.h"
#include "api/connection.h"
#include "api/listener.h"

namespace crucible {

/// One row of the run-time table. A null function: the mechanism has no such door, declared by leaving it out.
struct Mechanism {
  std::string_view name;
  Capabilities pipe;  ///< of its Connection
  ConnectionPair (*make_pipe)(const PipeOptions& options);
  /// Takes over the kernel descriptors of an inherited or received end. Throws BadArgument for a wrong number of
  /// descriptors or a negative one; what is not open fails on use with std::system_error.
  std::unique_ptr<Connection> (*adopt)(std::span<const int> descriptors);
  std::unique_ptr<Listener> (*listen)(const std::string& address);
  std::unique_ptr<Connection> (*connect)(const std::string& address, Deadline deadline);
};

/// Builds the row of a mechanism's type M (see its mechanism.h): M::kName, M::kPipe, M::Connection with
/// `static pair(PipeOptions)` and `static adopt(span)`; where M::Listener exists, the named door too.
template <class M>
constexpr Mechanism describe() {
  Mechanism row{.name = M::kName,
                .pipe = M::kPipe,
                .make_pipe = [](const PipeOptions& options) -> ConnectionPair { return M::Connection::pair(options); },
                .adopt = [](std::span<const int> descriptors) -> std::unique_ptr<Connection> {
                  return M::Connection::adopt(descriptors);
                },
                .listen = nullptr,
                .connect = nullptr};
  if constexpr (requires { typename M::Listener; }) {
    row.listen = [](const std::string& address) -> std::unique_ptr<Listener> { return M::Listener::listen(address); };
    row.connect = [](const std::string& address, Deadline deadline) -> std::unique_ptr<Connection> {
      return M::Listener::connect(address, deadline);
    };
  }
  return row;
}

/// The mechanisms of this build, in the order of impl/CMakeLists.txt.
std::span<const Mechanism> mechanisms() noexcept;

/// A mechanism chosen by name: the factory of every primitive. A value; cheap to copy.
class Context {
 public:
  explicit Context(const Mechanism& mechanism) noexcept : mechanism_(&mechanism) {}
  std::string_view name() const noexcept { return mechanism_->name; }
  const Mechanism& mechanism() const noexcept { return *mechanism_; }
  /// A connected pair. Throws std::system_error (descriptors exhausted), BadArgument.
  ConnectionPair pipe(const PipeOptions& options = {}) const { return mechanism_->make_pipe(options); }

 private:
  const Mechanism* mechanism_;
};

/// Throws BadArgument, listing the names there are, for a name that is none of them.
Context context(std::string_view name);

}  // namespace crucible
