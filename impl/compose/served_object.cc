#include "compose/served_object.h"

#include <tuple>

namespace crucible {

void ServedObject::time_out(const CallPointer& /*call*/) {}
void ServedObject::withdraw(const CallPointer& /*call*/) {}
void ServedObject::leave(std::uint64_t /*session*/) {}
std::string ServedObject::text() const { return '<' + type_ + ' ' + std::to_string(number_) + '>'; }

// --- The table -------------------------------------------------------------------------------------------------

std::shared_ptr<ServedObject> ObjectTable::add(std::unique_ptr<ServedObject> object) {
  const std::lock_guard lock(mutex_);
  object->number_ = ++last_;
  std::shared_ptr<ServedObject> shared(object.release(), [this](ServedObject* dead) { die(dead); });
  living_[last_] = shared;
  return shared;
}

// The last reference may go in the middle of another object's destruction, or on another thread.
void ObjectTable::die(ServedObject* object) {
  {
    const std::lock_guard lock(mutex_);
    living_.erase(object->number_);
    dead_.emplace_back(object);
  }
  on_dead_();
}

std::shared_ptr<ServedObject> ObjectTable::find(std::uint64_t number) const {
  const std::lock_guard lock(mutex_);
  const auto found = living_.find(number);
  if (found != living_.end()) {
    if (std::shared_ptr<ServedObject> object = found->second.lock()) return object;
  }
  throw NotFound("there is no object " + std::to_string(number) + " any more");
}

std::size_t ObjectTable::size() const {
  const std::lock_guard lock(mutex_);
  return living_.size();
}

void ObjectTable::end() {
  std::vector<std::shared_ptr<ServedObject>> living;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [number, weak] : living_) living.push_back(weak.lock());
  }
  for (const std::shared_ptr<ServedObject>& object : living) {
    if (object != nullptr) object->end();
  }
}

Reference ObjectTable::reference(const std::shared_ptr<ServedObject>& object) const {
  return Reference(std::make_shared<ServedReferent>(id_, object));
}

void ObjectTable::bury() {
  for (;;) {
    std::vector<std::unique_ptr<ServedObject>> dead;
    {
      const std::lock_guard lock(mutex_);
      dead.swap(dead_);
    }
    if (dead.empty()) return;
  }
}

// --- References in requests and answers ------------------------------------------------------------------------

const std::shared_ptr<ServedObject>& served(const Reference& reference) {
  const auto* const here = dynamic_cast<const ServedReferent*>(reference.referent().get());
  if (here == nullptr) throw BadArgument("a proxy of an object of this server is needed");
  return here->object();
}

Bytes ServerScope::write(const Reference& reference) {
  const std::shared_ptr<ServedObject>& object = served(reference);
  written_.push_back(object);
  const Encoded bytes = encode(std::tuple(object->number(), object->type()));
  return {bytes.view().begin(), bytes.view().end()};
}

Reference ServerScope::read(ByteView bytes) {
  return objects_.reference(objects_.find(std::get<0>(decode<std::tuple<std::uint64_t>>(bytes))));
}

}  // namespace crucible
