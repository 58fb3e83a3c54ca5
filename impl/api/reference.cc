#include "api/reference.h"

#include "api/object_server.h"
#include "api/status.h"

namespace crucible {
namespace {

thread_local ReferenceScope* innermost = nullptr;

}  // namespace

ReferenceScope::ReferenceScope() noexcept : outer_(std::exchange(innermost, this)) {}
ReferenceScope::~ReferenceScope() { innermost = outer_; }

Bytes write_reference(const Reference& reference) {
  if (!reference) throw EncodingError("a proxy of nothing cannot be encoded");
  return innermost != nullptr ? innermost->write(reference) : reference.referent()->travel();
}

Reference read_reference(ByteView bytes) {
  return innermost != nullptr ? innermost->read(bytes) : arrived_reference(bytes);
}

}  // namespace crucible
