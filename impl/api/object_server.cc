#include "api/object_server.h"

#include <algorithm>
#include <atomic>
#include <tuple>

#include "api/codec.h"
#include "api/mechanism.h"

namespace crucible {

std::uint64_t ObjectServer::thread_number() noexcept {
  static std::atomic<std::uint64_t> last = 0;
  thread_local const std::uint64_t number = ++last;
  return number;
}

Status ObjectServer::call(std::uint64_t object, ByteView request, Bytes& answer, Deadline deadline) {
  std::unique_ptr<Call> begun;
  const Status status = begin(object, request, begun, deadline);
  return status == Status::kOk ? begun->await(answer, deadline) : status;
}

Bytes ClientScope::write(const Reference& reference) {
  if (reference.name().server != server_.id()) {
    throw BadArgument("a proxy can be handed to objects of its own server only");
  }
  const Encoded bytes = encode(std::tuple(reference.name().number));
  return {bytes.view().begin(), bytes.view().end()};
}

Reference ClientScope::read(ByteView bytes) {
  auto [number, type] = decode<std::tuple<std::uint64_t, std::string>>(bytes);
  return server_.granted(number, std::move(type));
}

Reference arrived_reference(ByteView bytes) {
  const auto arrived = decode<TravellingReference>(bytes);
  if (arrived.server.size() != ServerId{}.size()) throw EncodingError("what came is no proxy");
  const Mechanism& mechanism = context(arrived.mechanism).mechanism();
  if (mechanism.managers.empty()) throw BadArgument(arrived.mechanism + " has no manager");
  if (arrived.form.empty()) return mechanism.managers.front().arrived(arrived);
  const auto form = std::ranges::find(mechanism.stores, arrived.form, &ManagerForm::name);
  if (form == mechanism.stores.end()) throw BadArgument(arrived.mechanism + " has no " + arrived.form + " manager");
  return form->arrived(arrived);
}

}  // namespace crucible
