// Several small messages in one packet, for receivers that read ahead.
#include <cstring>

#include "unix_socket/connection.h"

namespace crucible {
namespace {

using Length = std::uint32_t;

}  // namespace

// As many small messages as fit one packet; none if the first is not small or the receiver takes no packs.
Status UnixSocketConnection::send_pack(std::span<const ByteView> messages, std::size_t& sent, Deadline deadline) {
  sent = 0;
  if (outgoing_.takes_packs.load(std::memory_order_relaxed) == 0) return Status::kOk;
  std::array<std::byte, kHeader + kPack> packet;
  const std::size_t room = kHeader + std::min(kPack, part_);
  std::size_t used = kHeader;
  std::size_t count = 0;
  for (; count < messages.size(); ++count) {
    const ByteView message = messages[count];
    if (message.size() > kCopied || used + sizeof(Length) + message.size() > room) break;
    const auto length = static_cast<Length>(message.size());
    std::memcpy(packet.data() + used, &length, sizeof length);
    used += sizeof length;
    if (!message.empty()) std::memcpy(packet.data() + used, message.data(), message.size());
    used += message.size();
  }
  if (count == 0) return Status::kOk;
  const Header header = {.length = used - kHeader, .offset = kPacked};
  std::memcpy(packet.data(), &header, kHeader);
  const Status status = send_packet(ByteView(packet).first(used), deadline);
  if (status == Status::kOk) sent = count;
  return status;
}

// Where a packet goes that goes nowhere else: this thread's memory, or this end's if it must stay.
ByteSpan UnixSocketConnection::spill() {
  thread_local std::array<std::byte, kHeader + kPart> passing;
  return ahead_ != nullptr ? *ahead_ : passing;
}

// A packet of several messages has come. Its first bytes lie in `direct` if it came in the middle of a message that its
// sender has given up.
void UnixSocketConnection::unpack(Packet& packet, ByteSpan direct) {
  std::byte* const begin = ahead_->data() + kHeader;
  if (packet.direct > 0) {
    std::memmove(begin + packet.direct, packet.spilled.data(), packet.spilled.size());
    std::memcpy(begin, direct.data(), packet.direct);
  }
  packed_ = {begin, packet.direct + packet.spilled.size()};
}

// The next message of such a packet. False: there is none, or none that can be believed.
bool UnixSocketConnection::take_packed(Packet& packet) {
  Length length = 0;
  if (packed_.size() < sizeof length) {
    packed_ = {};
    return false;
  }
  std::memcpy(&length, packed_.data(), sizeof length);
  packed_ = packed_.subspan(sizeof length);
  if (length > packed_.size()) {
    packed_ = {};
    return false;
  }
  packet = {.header = {.length = length, .offset = 0}, .direct = 0, .spilled = packed_.first(length)};
  packed_ = packed_.subspan(length);
  return true;
}

}  // namespace crucible
