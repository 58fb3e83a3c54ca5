// Reference: a value that stands for an object in another process, and keeps it alive there.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "api/bytes.h"

namespace crucible {

/// A server of managed objects, for good: random, never the same again.
using ServerId = std::array<std::byte, 16>;

/// One managed object of one server; the number is never used again there.
struct ObjectName {
  ServerId server = {};
  std::uint64_t number = 0;
  auto operator<=>(const ObjectName&) const noexcept = default;
};

/// One hold on a managed object; what it is depends on which side of the server holds it.
class Referent {
 public:
  Referent(ObjectName name, std::string type) : name_(name), type_(std::move(type)) {}
  Referent(const Referent&) = delete;
  Referent& operator=(const Referent&) = delete;
  virtual ~Referent() = default;

  const ObjectName& name() const noexcept { return name_; }
  /// As it was registered: "dict", "list", ...
  const std::string& type() const noexcept { return type_; }
  /// What stands for it in a message to no matter whom: its receiver has a hold of its own from the moment this
  /// returns, so that this one may end before the message arrives. Throws Broken, Stale.
  virtual Bytes travel() const = 0;

 private:
  const ObjectName name_;
  const std::string type_;
};

/// Copies share one hold, which ends with the last of them. Equal if it is the same object.
class Reference {
 public:
  Reference() noexcept = default;
  explicit Reference(std::shared_ptr<Referent> referent) noexcept : referent_(std::move(referent)) {}

  explicit operator bool() const noexcept { return referent_ != nullptr; }
  ObjectName name() const noexcept { return referent_ ? referent_->name() : ObjectName{}; }
  /// Empty for none.
  std::string type() const { return referent_ ? referent_->type() : std::string(); }
  const std::shared_ptr<Referent>& referent() const noexcept { return referent_; }

  bool operator==(const Reference& other) const noexcept { return name() == other.name(); }
  std::strong_ordering operator<=>(const Reference& other) const noexcept { return name() <=> other.name(); }

 private:
  std::shared_ptr<Referent> referent_;
};

/// While it lives, what this thread encodes and decodes is translated by it: inside a conversation with a server
/// references are said otherwise than in messages to no matter whom. Scopes nest.
class ReferenceScope {
 public:
  ReferenceScope() noexcept;
  ReferenceScope(const ReferenceScope&) = delete;
  ReferenceScope& operator=(const ReferenceScope&) = delete;
  virtual ~ReferenceScope();
  virtual Bytes write(const Reference& reference) = 0;
  virtual Reference read(ByteView bytes) = 0;

 private:
  ReferenceScope* const outer_;
};

/// MessagePack's extension type of a reference.
inline constexpr std::int8_t kReferenceType = 0x43;
/// By the innermost scope; without one Referent::travel(), and what api/object_server.h makes of it. Throw
/// EncodingError (no reference; one of nothing), and what the scope does.
Bytes write_reference(const Reference& reference);
Reference read_reference(ByteView bytes);

}  // namespace crucible
