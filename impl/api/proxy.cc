#include "api/proxy.h"

#include <algorithm>

namespace crucible::managed {

bool require_answer(Status status, ByteView answer, const char* operation) {
  if (status == Status::kRemote) rethrow_failure(decode<Failure>(answer));
  if (status != Status::kOk && status != Status::kTimeout) throw_status(status, operation);
  return status == Status::kOk;
}

std::int64_t Proxy::patience(Deadline deadline) noexcept { return deadline.is_never() ? -1 : deadline.left().count(); }

Deadline Proxy::slack(Deadline deadline) const noexcept {
  const Deadline until = deadline.is_never() ? Deadline::never() : Deadline::after(deadline.left() + kSlack);
  if (!limit_) return until;
  return until.is_never() || *limit_ < until.left() ? Deadline::after(*limit_) : until;
}

std::unique_ptr<ObjectServer::Call> Proxy::begin(const Encoded& request, Deadline deadline) const {
  std::unique_ptr<ObjectServer::Call> call;
  const Status status = server().begin(reference_.name().number, request.view(), call, deadline);
  if (status == Status::kTimeout) throw Timeout("a call of a managed object");
  (void)require_answer(status, {}, "a call of a managed object");
  return call;
}

bool Proxy::invoke(const Encoded& request, Bytes& answer, Deadline deadline) const {
  const Status status = server().call(reference_.name().number, request.view(), answer, deadline);
  return require_answer(status, answer, "a call of a managed object");
}

ObjectServer& Proxy::server() const {
  if (!reference_) throw StateError("a proxy of nothing");
  auto* const held = dynamic_cast<ClientReferent*>(reference_.referent().get());
  if (held == nullptr) throw StateError("a proxy inside its own server cannot be called");
  return held->server();
}

}  // namespace crucible::managed
