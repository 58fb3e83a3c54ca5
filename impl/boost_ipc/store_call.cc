#include "boost_ipc/store_call.h"

namespace crucible::boost_ipc {

StoreCall::StoreCall(ByteView request, Bytes& answer) : answer_(answer) {
  EncodedItems items(request);
  if (items.size() < 2 || items.size() > 2 + kMostArguments) throw EncodingError("no request to a store");
  (void)items.next();  // the thread, which owns nothing here
  const std::optional<std::string_view> method = text_in(items.next());
  if (!method) throw EncodingError("a request to a store names no method");
  method_ = *method;
  for (count_ = 0; count_ + 2 < items.size(); ++count_) arguments_[count_] = items.next();
}

void StoreTurn::require_size(std::size_t bytes) const {
  if (bytes >= segment.get_size()) throw boost::interprocess::bad_alloc();
}

void StoreTurn::assign(Text& to, ByteView bytes) const {
  require_size(bytes.size());
  const std::string_view from = characters(bytes);
  to.assign(from.begin(), from.end());
}

Text StoreTurn::text(ByteView bytes) const {
  require_size(bytes.size());
  const std::string_view from = characters(bytes);
  return {from.data(), from.size(), Allocator<char>(segment.get_segment_manager())};
}

}  // namespace crucible::boost_ipc
