// ServedObject: an object as its server has it, and the calls that it gets.
#pragma once

#include <cstdint>
#include <exception>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "api/codec.h"
#include "api/managed_types.h"
#include "api/object.h"
#include "api/reference.h"
#include "api/status.h"

namespace crucible {

class ServerCall;
class ServerSession;
using CallPointer = std::shared_ptr<ServerCall>;

/// A thread of a client.
struct CallOwner {
  std::uint64_t session = 0;  ///< never used again
  std::uint64_t thread = 0;
  bool operator==(const CallOwner&) const noexcept = default;
};

/// Everything happens on the server's thread.
class ServedObject : public std::enable_shared_from_this<ServedObject> {
 public:
  explicit ServedObject(std::string type) : type_(std::move(type)) {}
  ServedObject(const ServedObject&) = delete;
  ServedObject& operator=(const ServedObject&) = delete;
  virtual ~ServedObject() = default;

  const std::string& type() const noexcept { return type_; }
  std::uint64_t number() const noexcept { return number_; }

  /// Answers it, or parks it to be answered later; what it throws is the answer.
  virtual void serve(const CallPointer& call) = 0;
  /// A parked call's time has come: to be answered.
  virtual void time_out(const CallPointer& call);
  /// Its client is gone or does not want the answer any more: to be forgotten.
  virtual void withdraw(const CallPointer& call);
  /// One that is entangled with this object (ServerCall::entangle) is gone.
  virtual void leave(std::uint64_t session);
  /// The server is ending: whatever of this object's other threads wait for has to be over.
  virtual void end() {}
  virtual std::string text() const;
  /// Whether what its methods do depends on who is alive: then deaths that came before a call are noticed before it.
  virtual bool heeds_deaths() const noexcept { return true; }

 private:
  friend class ObjectTable;
  const std::string type_;
  std::uint64_t number_ = 0;
};

/// All objects of a server. Any thread; but what nothing refers to any more is destroyed by bury() alone, so that no
/// chain of references, however long, is destroyed recursively.
class ObjectTable {
 public:
  explicit ObjectTable(const ServerId& id, std::function<void()> on_dead) : id_(id), on_dead_(std::move(on_dead)) {}
  ~ObjectTable() { bury(); }

  std::shared_ptr<ServedObject> add(std::unique_ptr<ServedObject> object);
  /// Throws NotFound.
  std::shared_ptr<ServedObject> find(std::uint64_t number) const;
  std::size_t size() const;
  /// ServedObject::end() of all.
  void end();
  const ServerId& id() const noexcept { return id_; }
  Reference reference(const std::shared_ptr<ServedObject>& object) const;
  /// The server's thread.
  void bury();

 private:
  void die(ServedObject* object);

  const ServerId id_;
  const std::function<void()> on_dead_;
  mutable std::mutex mutex_;
  std::unordered_map<std::uint64_t, std::weak_ptr<ServedObject>> living_;
  std::vector<std::unique_ptr<ServedObject>> dead_;
  std::uint64_t last_ = 0;
};

/// The server's hold.
class ServedReferent final : public Referent {
 public:
  ServedReferent(const ServerId& server, std::shared_ptr<ServedObject> object)
      : Referent({.server = server, .number = object->number()}, object->type()), object_(std::move(object)) {}
  const std::shared_ptr<ServedObject>& object() const noexcept { return object_; }
  Bytes travel() const override { throw EncodingError("a reference cannot leave its server but in an answer"); }

 private:
  const std::shared_ptr<ServedObject> object_;
};

/// The object of this server that `reference` names; throws BadArgument.
const std::shared_ptr<ServedObject>& served(const Reference& reference);

/// While requests are read and answers written. Any thread.
class ServerScope final : public ReferenceScope {
 public:
  explicit ServerScope(const ObjectTable& objects) noexcept : objects_(objects) {}
  Bytes write(const Reference& reference) override;
  Reference read(ByteView bytes) override;
  /// What was written: the answer's receiver gets a hold of each.
  std::vector<std::shared_ptr<ServedObject>>& written() noexcept { return written_; }

 private:
  const ObjectTable& objects_;
  std::vector<std::shared_ptr<ServedObject>> written_;
};

/// Finds the member function of a method's name.
template <class T>
using Handlers = std::unordered_map<std::string_view, void (T::*)(const CallPointer& call)>;
template <class T>
void dispatch(T& object, const Handlers<T>& handlers, const CallPointer& call);

}  // namespace crucible
